#include "convert/targets.h"

#include <array>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/name_table.h"
#include "base/quoted_name.h"

namespace glimmer::convert {
namespace {

constexpr std::array kTargets = {
    &kHfTarget,
    &kMlxTarget,
    &kGgufTarget,
    &kDllamaTarget,
};

}  // namespace

std::span<const Target* const> all_targets() { return kTargets; }

const Target& require_target(std::string_view format) {
  if (const auto found = find_named(kTargets, format, &Target::format)) return **found;
  fail(ErrorCode::kUsage, "unknown format {}; known: {}", quoted_name(format), list_names(kTargets, &Target::format));
}

void permute_rows(ConvertMatrix& matrix, const std::vector<int32_t>& rows) {
  GLIMMER_CHECK(
      matrix.pieces.size() == 1 && !matrix.pieces[0].transposed && static_cast<int64_t>(rows.size()) == matrix.rows(),
      "{}: {} rows to permute, {} pieces", matrix.name, rows.size(), matrix.pieces.size());
  EncodedMatrix& data = matrix.pieces[0].data;
  auto map = std::make_shared<std::vector<int32_t>>();
  map->reserve(rows.size());
  for (const int32_t row : rows) map->push_back(static_cast<int32_t>(data.stored_row(row)));
  data.row_map = std::move(map);
  data.first_row = 0;
}

}  // namespace glimmer::convert
