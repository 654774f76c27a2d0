// Prints the presets' names; includes every installed header.
#include <iostream>

#include "all_headers.h"

int main() {
  for (const auto& name : ups::optim::presets::names()) std::cout << name << "\n";
}
