// Where tests find committed data.
#pragma once

#include <algorithm>
#include <filesystem>
#include <vector>

namespace glimmer::testing {

inline std::filesystem::path source_dir() { return GLIMMER_SOURCE_DIR; }

// Every model folder of tests/fixtures, by name.
inline std::vector<std::filesystem::path> fixture_dirs() {
  std::vector<std::filesystem::path> dirs;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "tests/fixtures")) {
    if (std::filesystem::exists(entry.path() / "golden.safetensors")) dirs.push_back(entry.path());
  }
  std::sort(dirs.begin(), dirs.end());
  return dirs;
}

}  // namespace glimmer::testing
