// glimmer tokenize, glimmer detokenize: text to token ids and back.
#include <fmt/ranges.h>

#include <limits>

#include "apps/command.h"
#include "apps/jsonl.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "session/model_files.h"
#include "text/tokenizer.h"

namespace glimmer::apps {
namespace {

std::string ids_text(const std::vector<int32_t>& ids) { return fmt::format("{}", fmt::join(ids, ",")); }

// One line a token: id, tab, its bytes as a JSON string (parts of characters show as U+FFFD).
std::string pieces_text(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string out;
  for (const int32_t id : ids) {
    out += fmt::format("{}\t{}\n", id, dump_json(Json(std::string(tokenizer.token_bytes(id)))));
  }
  return out;
}

std::vector<int32_t> ids_of_json(const Json& value) {
  if (!value.is_array()) fail(ErrorCode::kInvalid, "\"ids\" must be an array, found {}", value.type_name());
  std::vector<int32_t> ids;
  for (const Json& item : value) {
    const bool fits = item.is_number_integer() && item.get<int64_t>() >= 0 &&
                      item.get<int64_t>() <= std::numeric_limits<int32_t>::max();
    if (!fits) fail(ErrorCode::kInvalid, "\"ids\" holds {}, which is not a token id", dump_json(item));
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

}  // namespace

int tokenize_command(Arguments arguments) {
  ModelFlags model;
  std::optional<std::string> text;
  bool jsonl = false;
  bool as_ids = false;
  bool as_tokens = false;
  bool no_add_special = false;
  bool no_parse_special = false;
  Flags flags("tokenize", "Prints the token ids of a text, by the model's tokenizer.json.");
  flags.add("TEXT", text, "", "Text (default: all of standard input)");
  model.add(flags);
  flags.add_switch("--ids", as_ids, "Print comma-separated ids, as --ids of other commands takes them (default)")
      .add_switch("--tokens", as_tokens, "Print one token per line: id and text")
      .add_switch("--jsonl", jsonl, "Read one {\"text\": ...} per line, write one {\"ids\": [...]} per line")
      .add_switch("--no-add-special-tokens", no_add_special, "Skip the special tokens that the post-processor adds")
      .add_switch("--no-parse-special", no_parse_special, "Treat the names of special tokens as ordinary text")
      .examples(
          "  glimmer tokenize -m ~/models/GLM-4.7-Flash \"Hello\"\n"
          "  glimmer tokenize -m tokenizer.json --tokens < README.md\n"
          "  glimmer tokenize --jsonl < texts.jsonl > ids.jsonl");
  if (!flags.parse(arguments)) return 0;
  if (jsonl && (text || as_tokens || as_ids)) {
    fail(ErrorCode::kUsage, "--jsonl reads standard input and excludes TEXT, --ids and --tokens");
  }
  if (as_ids && as_tokens) fail(ErrorCode::kUsage, "--ids and --tokens exclude each other");
  const Tokenizer tokenizer = open_tokenizer(model.folder_or_file());
  const EncodeOptions options{.add_special_tokens = !no_add_special, .parse_special = !no_parse_special};
  if (jsonl) {
    map_json_lines([&](const Json& line) {
      return Json{{"ids", tokenizer.encode(require_string(line, "text"), options)}};
    });
    return 0;
  }
  const std::vector<int32_t> ids = tokenizer.encode(text ? *text : read_all_input(), options);
  write_output(as_tokens ? pieces_text(tokenizer, ids) : ids_text(ids) + "\n");
  return 0;
}

int detokenize_command(Arguments arguments) {
  ModelFlags model;
  std::vector<std::string> words;
  bool jsonl = false;
  bool skip_special = false;
  Flags flags("detokenize", "Prints the text of token ids.");
  flags.add("IDS", words, "", "Ids separated by commas or spaces (default: standard input)");
  model.add(flags);
  flags.add_switch("--jsonl", jsonl, "Read one {\"ids\": [...]} per line, write one {\"text\": ...} per line")
      .add_switch("--skip-special", skip_special, "Omit special tokens")
      .examples(
          "  glimmer detokenize -m ~/models/GLM-4.7-Flash 9703,11\n"
          "  glimmer tokenize \"Hello\" | glimmer detokenize");
  if (!flags.parse(arguments)) return 0;
  if (jsonl && !words.empty()) fail(ErrorCode::kUsage, "--jsonl reads standard input and excludes IDS");
  const Tokenizer tokenizer = open_tokenizer(model.folder_or_file());
  const DecodeOptions options{.skip_special = skip_special};
  if (jsonl) {
    map_json_lines([&](const Json& line) {
      return Json{{"text", tokenizer.decode(ids_of_json(require_member(line, "ids")), options)}};
    });
    return 0;
  }
  const std::string ids = words.empty() ? read_all_input() : fmt::format("{}", fmt::join(words, " "));
  write_exact_text(tokenizer.decode(parse_ids(ids, "ids"), options));
  return 0;
}

}  // namespace glimmer::apps
