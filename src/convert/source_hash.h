// Content hashes by which a resumed conversion checks that its source is unchanged.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "convert/target.h"

namespace glimmer::convert {

// 32 hex digits of all stored bytes that a matrix is made of. Reads them.
std::string source_hash(const ConvertMatrix& matrix);

std::string text_hash(std::string_view text);
std::string file_hash(const std::filesystem::path& path);  // throws kNotFound, kIo

}  // namespace glimmer::convert
