#include "model/generation_config.h"

#include "base/config_reader.h"

namespace glimmer {
namespace {

std::optional<double> number_in(const ConfigReader& reader, std::string_view field, double low, double high) {
  if (!reader.has(field)) return std::nullopt;
  const double value = reader.require_number(field);
  if (value < low || value > high) reader.fail_field(field, fmt::format("a number from {} to {}", low, high));
  return value;
}

}  // namespace

}  // namespace glimmer
