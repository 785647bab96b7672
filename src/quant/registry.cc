#include <array>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/name_table.h"
#include "base/quoted_name.h"
#include "quant/types.h"

namespace glimmer {
namespace {

struct Row {
  const QuantType* type;
  std::optional<DType> dtype;  // of a tensor that is a whole matrix of the type by itself
};

const std::array kRows = {
    Row{&kF32Type, DType::kF32},       Row{&kF16Type, DType::kF16},       Row{&kBf16Type, DType::kBF16},
    Row{&kFp8Type, std::nullopt},      Row{&kQ4_0Type, DType::kQ4_0},     Row{&kQ4_1Type, DType::kQ4_1},
    Row{&kQ5_0Type, DType::kQ5_0},     Row{&kQ5_1Type, DType::kQ5_1},     Row{&kQ8_0Type, DType::kQ8_0},
    Row{&kQ2_KType, DType::kQ2_K},     Row{&kQ3_KType, DType::kQ3_K},     Row{&kQ4_KType, DType::kQ4_K},
    Row{&kQ5_KType, DType::kQ5_K},     Row{&kQ6_KType, DType::kQ6_K},     Row{&kIQ4_NLType, DType::kIQ4_NL},
    Row{&kIQ4_XSType, DType::kIQ4_XS}, Row{&kMXFP4Type, DType::kMXFP4},   Row{&kQ40Type, std::nullopt},
    Row{&kQ80Type, std::nullopt},      Row{&kMlx2Type, std::nullopt},     Row{&kMlx3Type, std::nullopt},
    Row{&kMlx4Type, std::nullopt},     Row{&kMlx5Type, std::nullopt},     Row{&kMlx6Type, std::nullopt},
    Row{&kMlx8Type, std::nullopt},     Row{&kNf4Type, std::nullopt},      Row{&kNf4NestedType, std::nullopt},
    Row{&kAwqType, std::nullopt},      Row{&kGptqType, std::nullopt},     Row{&kCtIntType, std::nullopt},
    Row{&kNvfp4Type, std::nullopt},    Row{&kMlxMxfp4Type, std::nullopt},
};

std::string_view name_of(const Row& row) { return row.type->name; }

}  // namespace

std::span<const QuantType* const> all_quant_types() {
  static const auto types = [] {
    std::array<const QuantType*, kRows.size()> list{};
    for (size_t i = 0; i < kRows.size(); ++i) list[i] = kRows[i].type;
    return list;
  }();
  return types;
}

const QuantType* find_quant_type(std::string_view name) {
  const Row* found = find_named(kRows, name, name_of);
  return found == nullptr ? nullptr : found->type;
}

const QuantType& require_quant_type(std::string_view name) {
  if (const QuantType* type = find_quant_type(name); type != nullptr) return *type;
  fail(ErrorCode::kUsage, "unknown type {}; known: {}", quoted_name(name), list_names(kRows, name_of));
}

const QuantType* quant_type_of(DType dtype) {
  for (const Row& row : kRows) {
    if (row.dtype == dtype) return row.type;
  }
  return nullptr;
}

}  // namespace glimmer
