// From finished blocks to a file in one of PDEBench's layouts.
#pragma once
#include <string>

#include "ups/data/generators/generator.h"
#include "ups/data/generators/part_file.h"

namespace ups::data {

// Raise it when a change alters numbers: files record it and unfinished ones of another version are not continued.
inline constexpr const char* kGeneratorVersion = "ups-data 0.1.1";

int64_t floats_per_sample(const GeneratorInfo& info, const GenerateSettings& settings);

// Writes <out>.tmp, syncs it, renames it to out and syncs the folder.
void write_data_file(const std::string& out, const GeneratorInfo& info, const GenerateSettings& settings, Generator& generator,
                     int64_t count, const PartFile& part);

}  // namespace ups::data
