// What `convert --force` may replace: the output of a conversion, or what is a model and nothing else.
//
// A folder that was written by a conversion holds a marker, a list of the files written. It may be replaced while it
// holds these and no others. A folder without one may be replaced if it is a model's by its config.json, has weights,
// and all its files have names that published models have. A file may be replaced if it begins as a model of its kind
// does, or is empty. Links, pipes and devices never are, nor is anything below a folder that is not named.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer::convert {

inline constexpr std::string_view kConvertMarker = ".glimmer-convert";

std::string convert_marker_text(const std::vector<std::string>& names);

// Throw kUsage, with the reason; kIo if it cannot be read. Nothing is there, or an empty folder: fine.
void check_folder_replaceable(const std::filesystem::path& folder);
void check_file_replaceable(const std::filesystem::path& file);

// Removes a folder that check_folder_replaceable took, a file at a time, and so nothing that came in between: that is
// kUsage. What an earlier call has left of one is taken as well.
void remove_replaced_folder(const std::filesystem::path& folder);

// Files and folders that a conversion reads, known by what they are rather than by how they are spelt.
class ReadFiles {
 public:
  // Those that there are: a folder counts with all that is in it, a .m file with its tokenizer.
  void add(const std::filesystem::path& path);

  // Throws kUsage if `path` is one of them (by any name or link), holds one, or is within a folder of them and there.
  void check_not_among(const std::filesystem::path& path) const;

 private:
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    bool operator==(const Identity&) const = default;
  };
  struct Known {
    Identity identity;
    std::filesystem::path path;
  };
  static bool identify(const std::filesystem::path& path, Identity& identity);
  void add_one(const std::filesystem::path& path, std::vector<Known>& to);

  std::vector<Known> files_;
  std::vector<Known> folders_;  // that were given
  std::vector<Known> above_;    // every folder in which one of them lies
};

}  // namespace glimmer::convert
