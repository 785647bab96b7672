#include <array>
#include <string>

#include "base/error.h"
#include "base/name_table.h"
#include "base/quoted_name.h"
#include "model/families/families.h"

namespace glimmer {
namespace {

constexpr std::array<const Family*, 7> kFamilies = {
    &kGlm4Moe, &kGlm4MoeLite, &kGlm4, &kGlm, &kLlama, &kQwen3, &kQwen3Moe,
};

}  // namespace

std::span<const Family* const> all_families() { return kFamilies; }

const Family& family_of(std::string_view model_type, std::string_view source) {
  if (const auto found = find_named(kFamilies, model_type, &Family::model_type)) return **found;
  fail(ErrorCode::kUnsupported, "{}: model_type {} is not supported; known: {}", source, quoted_name(model_type),
       list_names(kFamilies, &Family::model_type));
}

}  // namespace glimmer
