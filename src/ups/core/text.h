// Text helpers: escaping of foreign text, did-you-mean, sizes.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ups {

// C0, C1, DEL, bidi controls and invalid UTF-8 become \xNN; everything else is kept.
std::string escape_text(std::string_view text);
// At most max_bytes, cut at a character boundary and ended by "...".
std::string clip_text(std::string text, size_t max_bytes);
bool is_valid_utf8(std::string_view text);
// Names that become paths: [A-Za-z0-9._-]{1,64}, not starting with '.' or '-'.
bool is_safe_name(std::string_view name);

// Optimal string alignment distance (insert, delete, substitute, swap neighbours).
int edit_distance(std::string_view a, std::string_view b);
// The candidate nearest to `word`, by distance over the whole text and over the last dotted segment; empty if none is within 3
// (and within half of the word's length).
std::string nearest(std::string_view word, std::span<const std::string> candidates);

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
std::string lower(std::string_view text);
// "512MiB", "64 KiB", "3GB", "1048576" -> bytes; false if it does not parse.
bool parse_bytes(std::string_view text, int64_t& bytes);
std::string format_bytes(int64_t bytes);

}  // namespace ups
