#include "convert/replaceable.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/quoted_name.h"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarkerHead = "glimmer-convert 1";
constexpr size_t kMaxConfigBytes = size_t{64} << 20;

[[noreturn]] void refuse(const fs::path& path, std::string_view reason) {
  fail(ErrorCode::kUsage, "{}: {}: it is not replaced", path.string(), reason);
}

bool is_model_name(std::string_view name) {
  static const std::set<std::string_view> kNames = {".gitattributes",
                                                    "README.md",
                                                    "LICENSE",
                                                    "LICENSE.md",
                                                    "LICENSE.txt",
                                                    "config.json",
                                                    "configuration.json",
                                                    "merges.txt",
                                                    "tokenizer.json",
                                                    "tokenizer.model",
                                                    "vocab.json",
                                                    "vocab.txt",
                                                    "tokenizer_config.json",
                                                    "generation_config.json",
                                                    "added_tokens.json",
                                                    "chat_template.json",
                                                    "chat_template.jinja",
                                                    "special_tokens_map.json",
                                                    "model.safetensors.index.json"};
  if (kNames.contains(name)) return true;
  if (name.starts_with("model") && name.ends_with(".safetensors")) return true;
  const bool is_code =
      name.starts_with("configuration_") || name.starts_with("modeling_") || name.starts_with("tokenization_");
  if (is_code && name.ends_with(".py") && name.find('/') == std::string_view::npos) return true;
  return name.starts_with("additional_chat_templates/") && name.ends_with(".jinja");
}

// A config.json of any program will not do.
bool is_model_config(const fs::path& path) {
  try {
    const Json config = parse_json(read_file(path, kMaxConfigBytes), path.string());
    return config.is_object() && (config.contains("model_type") || config.contains("architectures"));
  } catch (const Error&) {
    return false;
  }
}

struct Listing {
  std::vector<std::string> files;    // regular ones, by their names within the folder
  std::vector<std::string> folders;  // below it, outer ones first
  std::string odd;                   // something else, if there is
};

Listing list(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().lexically_relative(folder).generic_string();
    const fs::file_status status = at->symlink_status(error);
    if (error) break;
    if (fs::is_regular_file(status)) {
      listing.files.push_back(name);
    } else if (fs::is_directory(status)) {
      listing.folders.push_back(name);
    } else {
      listing.odd = name;
    }
  }
  if (error) fail(ErrorCode::kIo, "{}: cannot be listed: {}", folder.string(), error.message());
  return listing;
}

// The names of a marker, itself among them; empty if it is none.
std::set<std::string> marked_names(const fs::path& folder) {
  std::istringstream lines(read_file(folder / kConvertMarker, kMaxConfigBytes));
  std::string line;
  std::set<std::string> names;
  if (!std::getline(lines, line) || line != kMarkerHead) return names;
  while (std::getline(lines, line)) names.insert(line);
  names.insert(std::string(kConvertMarker));
  return names;
}

bool has(const Listing& listing, std::string_view name) { return std::ranges::count(listing.files, name) != 0; }

// All that is there has a name of the marker, or of a model.
void check_entries(const fs::path& folder, const Listing& listing) {
  if (!listing.odd.empty()) {
    refuse(folder, fmt::format("holds {}, which is a link or a special file", quoted_name(listing.odd)));
  }
  std::set<std::string> marked;
  if (has(listing, kConvertMarker)) marked = marked_names(folder);
  for (const std::string& name : listing.files) {
    const bool is_known = marked.empty() ? is_model_name(name) : marked.contains(name);
    if (!is_known) refuse(folder, fmt::format("holds {}, which is no file of a model", quoted_name(name)));
  }
  for (const std::string& name : listing.folders) {
    const auto within = [&](const std::string& file) { return file.starts_with(name + "/"); };
    if (std::ranges::none_of(listing.files, within)) {
      refuse(folder, fmt::format("holds {}, which is no folder of a model", quoted_name(name)));
    }
  }
}

void check_is_model(const fs::path& folder, const Listing& listing) {
  if (listing.files.empty() && listing.folders.empty() && listing.odd.empty()) return;
  if (has(listing, kConvertMarker) && !marked_names(folder).empty()) return;
  if (!has(listing, "config.json")) refuse(folder, "is a folder without a config.json, no model");
  if (!is_model_config(folder / "config.json")) refuse(folder, "its config.json is no model's");
  const bool has_weights =
      std::ranges::any_of(listing.files, [](const std::string& name) { return name.ends_with(".safetensors"); });
  if (!has_weights) refuse(folder, "is a folder without weights (*.safetensors), no model");
}

}  // namespace

std::string convert_marker_text(const std::vector<std::string>& names) {
  std::string text = std::string(kMarkerHead) + "\n";
  for (const std::string& name : std::set<std::string>(names.begin(), names.end())) text += name + "\n";
  return text;
}

void check_folder_replaceable(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(folder, error);
  if (!fs::exists(status)) return;
  if (fs::is_symlink(status)) refuse(folder, "is a symbolic link, which a folder will not replace");
  if (!fs::is_directory(status)) refuse(folder, "is a file, which a folder will not replace");
  const Listing listing = list(folder);
  check_is_model(folder, listing);
  check_entries(folder, listing);
}

void check_file_replaceable(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(file, error);
  if (!fs::exists(status)) return;
  if (fs::is_symlink(status)) refuse(file, "is a symbolic link, which a file will not replace");
  if (fs::is_directory(status)) refuse(file, "is a folder, which a file will not replace");
  if (!fs::is_regular_file(status)) refuse(file, "is a special file");
  if (fs::file_size(file, error) == 0 && !error) return;
  std::array<unsigned char, 4> head{};
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(head.data()), head.size());
  const uint32_t magic = head[0] | head[1] << 8 | head[2] << 16 | static_cast<uint32_t>(head[3]) << 24;
  const std::string extension = file.extension().string();
  bool is_model = false;
  if (extension == ".gguf") is_model = std::memcmp(head.data(), "GGUF", 4) == 0;
  if (extension == ".m") is_model = magic == 0x0A00ABCD;
  if (extension == ".t") is_model = magic == 0x567124 || magic == 0x567123;
  if (!stream || !is_model) refuse(file, fmt::format("does not begin as a {} file does", extension));
}

void remove_replaced_folder(const fs::path& folder) {
  Listing listing = list(folder);
  check_entries(folder, listing);
  // The marker last: what is left says whose it is.
  std::ranges::stable_partition(listing.files, [](const std::string& name) { return name != kConvertMarker; });
  const auto require = [](bool done, const fs::path& path) {
    if (!done) fail(ErrorCode::kIo, "{}: cannot remove: {}", path.string(), std::strerror(errno));
  };
  for (const std::string& name : listing.files) require(::unlink((folder / name).c_str()) == 0, folder / name);
  std::ranges::reverse(listing.folders);
  for (const std::string& name : listing.folders) require(::rmdir((folder / name).c_str()) == 0, folder / name);
  require(::rmdir(folder.c_str()) == 0, folder);
}

// ---- ReadFiles ----

bool ReadFiles::identify(const fs::path& path, Identity& identity) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  identity = {status.st_dev, status.st_ino};
  return true;
}

void ReadFiles::add_one(const fs::path& path, std::vector<Known>& to) {
  Identity identity;
  if (!identify(path, identity)) return;
  to.push_back({identity, path});
  // As it is spelt, and as it is: a link may lead elsewhere.
  std::error_code error;
  for (fs::path folder : {fs::absolute(path, error), fs::weakly_canonical(path, error)}) {
    while (folder.has_relative_path()) {
      folder = folder.parent_path();
      Identity of_folder;
      if (identify(folder, of_folder)) above_.push_back({of_folder, path});
    }
  }
}

void ReadFiles::add(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    add_one(path, files_);
    if (path.extension() != ".m") return;
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const bool has_own = fs::exists(fs::path(path).replace_extension(".t"), error);
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      if (at->path().extension() != ".t" || (has_own && at->path().stem() != path.stem())) continue;
      add_one(at->path(), files_);
    }
    return;
  }
  add_one(path, folders_);
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    if (at->is_regular_file(error)) add_one(at->path(), files_);
  }
}

void ReadFiles::check_not_among(const fs::path& path) const {
  Identity identity;
  if (!identify(path, identity)) return;
  const auto find = [](const std::vector<Known>& known, const Identity& wanted) {
    return std::ranges::find(known, wanted, &Known::identity);
  };
  for (const std::vector<Known>* known : {&files_, &folders_}) {
    if (const auto found = find(*known, identity); found != known->end()) {
      fail(ErrorCode::kUsage, "{}: is the source itself, {}", path.string(), found->path.string());
    }
  }
  if (const auto found = find(above_, identity); found != above_.end()) {
    fail(ErrorCode::kUsage, "{}: holds the source, {}", path.string(), found->path.string());
  }
  std::error_code error;
  for (fs::path folder = fs::weakly_canonical(path, error); folder.has_relative_path();) {
    folder = folder.parent_path();
    Identity of_folder;
    if (!identify(folder, of_folder)) continue;
    if (const auto found = find(folders_, of_folder); found != folders_.end()) {
      fail(ErrorCode::kUsage, "{}: is there, within the source {}", path.string(), found->path.string());
    }
  }
}

}  // namespace glimmer::convert
