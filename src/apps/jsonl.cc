#include "apps/jsonl.h"

#include "apps/terminal.h"
#include "base/error.h"
#include "base/json_numbers.h"

namespace glimmer::apps {

void map_json_lines(const std::function<Json(const Json& line)>& transform) {
  LineReader reader;
  while (const auto line = reader.next()) {
    if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string source = fmt::format("line {} of standard input", reader.line_number());
    const Json parsed = parse_exact_json(*line, source);
    try {
      write_output(dump_json(transform(parsed)) + "\n");
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", source, error.what()));
    }
  }
}

const Json& require_member(const Json& line, const char* key) {
  if (!line.is_object()) fail(ErrorCode::kInvalid, "expected an object with \"{}\", found {}", key, line.type_name());
  const auto found = line.find(key);
  if (found == line.end()) fail(ErrorCode::kInvalid, "there is no \"{}\"", key);
  return *found;
}

const std::string& require_string(const Json& line, const char* key) {
  const Json& value = require_member(line, key);
  if (!value.is_string()) fail(ErrorCode::kInvalid, "\"{}\" must be a string, found {}", key, value.type_name());
  return value.get_ref<const std::string&>();
}

}  // namespace glimmer::apps
