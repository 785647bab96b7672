#include "convert/source_hash.h"

#include <algorithm>
#include <span>
#include <vector>

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include "base/mapped_file.h"

namespace glimmer::convert {
namespace {

std::string hex(XXH128_hash_t hash) { return fmt::format("{:016x}{:016x}", hash.high64, hash.low64); }

// Of the stored matrix, the rows of the view where they lie together.
void add_spans(const EncodedMatrix& data, std::vector<std::span<const std::byte>>& spans) {
  const std::vector<QuantPart> parts = data.type->parts(data.params, data.stored_rows, data.columns);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::span<const std::byte> bytes = data.parts[i];
    if (bytes.empty()) continue;
    if (data.row_map == nullptr && parts[i].matrix_rows == 1) {
      const size_t row_bytes = bytes.size() / static_cast<size_t>(data.stored_rows);
      bytes =
          bytes.subspan(static_cast<size_t>(data.first_row) * row_bytes, static_cast<size_t>(data.rows) * row_bytes);
    }
    const auto is_same = [&](std::span<const std::byte> other) {
      return other.data() == bytes.data() && other.size() == bytes.size();
    };
    if (std::none_of(spans.begin(), spans.end(), is_same)) spans.push_back(bytes);
  }
}

}  // namespace

std::string source_hash(const ConvertMatrix& matrix) {
  std::vector<std::span<const std::byte>> spans;
  for (const ConvertPiece& piece : matrix.pieces) add_spans(piece.data, spans);
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (const std::span<const std::byte> span : spans) {
    const uint64_t size = span.size();
    XXH3_128bits_update(&state, &size, sizeof size);
    XXH3_128bits_update(&state, span.data(), span.size());
  }
  return hex(XXH3_128bits_digest(&state));
}

std::string text_hash(std::string_view text) { return hex(XXH3_128bits(text.data(), text.size())); }

std::string file_hash(const std::filesystem::path& path) {
  const MappedFile file(path);
  const XXH128_hash_t hash = XXH3_128bits(file.bytes().data(), file.bytes().size());
  file.check_unchanged();
  return hex(hash);
}

}  // namespace glimmer::convert
