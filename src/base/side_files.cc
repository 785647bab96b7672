#include "base/side_files.h"

#include "base/mapped_file.h"

namespace glimmer {

SideFiles folder_side_files(const std::filesystem::path& folder) {
  SideFiles files;
  files.model = folder.string();
  files.label = [folder](std::string_view name) { return (folder / name).string(); };
  files.read = [folder](std::string_view name) -> std::optional<std::string> {
    const std::filesystem::path path = folder / name;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return std::nullopt;
    return read_file(path, kMaxSideFileBytes);
  };
  return files;
}

}  // namespace glimmer
