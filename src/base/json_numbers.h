// JSON whose numbers keep their digits, for texts that are passed on: arguments of tools, their schemas.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace glimmer {

// As parse_json, but numbers that 64 bits or a double do not hold digit for digit keep their text: integers beyond
// them, decimals of more than 17 digits or out of a double's range. Such a value is of none of the library's number
// types (is_number() is false); dump_json() writes it as it was read, and who computes with numbers asks here.
Json parse_exact_json(std::string_view text, std::string_view source);

bool keeps_number_text(const Json& value);
std::string number_text(const Json& value);     // of one that keeps its text
bool is_integer_text(std::string_view number);  // rather than a decimal
double nearest_number(const Json& value);       // of any number; infinite beyond a double's range

}  // namespace glimmer
