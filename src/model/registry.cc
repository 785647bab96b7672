#include <array>
#include <string>

#include "base/error.h"
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
  std::string known;
  for (const Family* family : kFamilies) {
    if (family->model_type == model_type) return *family;
    known.append(known.empty() ? "" : ", ").append(family->model_type);
  }
  fail(ErrorCode::kUnsupported, "{}: model_type {} is not supported; known: {}", source, quoted_name(model_type),
       known);
}

}  // namespace glimmer
