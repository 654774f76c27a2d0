// What an autoencoder keeps of a field, as a picture.
#pragma once
#include <string>

#include "ups/stages/field_space.h"

namespace ups::run {

// Field, reconstruction and their difference: the first trajectory of a split over time in 1-D, its last frame in 2-D, one row per channel.
// `space` is in latent space. Writes FOLDER/autoencoder.svg and returns its path.
std::string write_autoencoder_plot(const std::string& folder, stages::FieldSpace& space, data::Split split);

}  // namespace ups::run
