// What nearly every file with torch parses: 9 of 11 s of a small one.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

