// The same trajectory in two splits makes a score worthless; equal first frames give it away (data.md 6).
#pragma once
#include <functional>
#include <string>

#include "ups/data/dataset.h"

namespace ups::data {

// Hash of the first 4,096 values of frame 0 of every member; an equal pair in two splits is exit 3. place(n) names trajectory n.
void check_leaks(Dataset& data, const std::function<std::string(int64_t)>& place);

}  // namespace ups::data
