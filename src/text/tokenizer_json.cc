#include "text/tokenizer_json.h"

#include <simdjson.h>

#include "base/error.h"
#include "text/tokenizer_json_field.h"

namespace glimmer {
namespace {

using simdjson::dom::element;

constexpr size_t kMaxDepth = 64;

int32_t token_id(const JsonField& field) {
  const int64_t id = field.integer();
  if (id < 0) fail(ErrorCode::kInvalid, "{}: a token id is not negative, found {}", field.where(), id);
  if (id > kMaxTokenId) fail(ErrorCode::kLimit, "{}: token id {} exceeds {}", field.where(), id, kMaxTokenId);
  return static_cast<int32_t>(id);
}

bool boolean_or_false(const JsonField& object, std::string_view name) {
  const auto field = object.find(name);
  return field && field->boolean();
}

std::string_view type_of(const JsonField& object) { return object.member("type").string(); }

// ---- model

void read_vocab(const JsonField& vocab_field, Vocab& vocab) {
  const auto object = vocab_field.object();
  vocab.reserve(object.size(), object.size() * 8);
  for (const auto pair : object) {
    const std::string_view token = pair.key;
    const element value = pair.value;
    const auto here = [&] {
      return JsonField(value, fmt::format("{}[\"{}\"]", vocab_field.path(), token), vocab_field.source());
    };
    int64_t id = -1;
    if (value.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) id = token_id(here());
    if (vocab.insert(token, static_cast<int32_t>(id))) continue;
    if (vocab.find(token) >= 0) fail(ErrorCode::kInvalid, "{}: the token appears twice", here().where());
    fail(ErrorCode::kInvalid, "{}: id {} is that of \"{}\" already", here().where(), id,
         vocab.token(static_cast<int32_t>(id)));
  }
}

struct MergeStrings {
  std::string_view left;
  std::string_view right;
};

// Two tokens with one space between. The field, whose path costs time to spell, is made for an error only.
template <typename Here>
MergeStrings split_merge(std::string_view line, const Here& here) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    fail(ErrorCode::kInvalid, "{}: expected two tokens with one space between, found \"{}\"", here().where(),
         line.substr(0, 100));
  }
  return {line.substr(0, space), line.substr(space + 1)};
}

template <typename Here>
MergeStrings read_pair(element value, const Here& here) {
  simdjson::dom::array pair;
  if (value.get(pair) != simdjson::SUCCESS) here().wrong_type("an array of two tokens");
  if (pair.size() != 2) fail(ErrorCode::kInvalid, "{}: expected two tokens, found {}", here().where(), pair.size());
  MergeStrings merge;
  auto at = pair.begin();
  if ((*at).get(merge.left) != simdjson::SUCCESS) here().element(*at, 0).wrong_type("a string");
  ++at;
  if ((*at).get(merge.right) != simdjson::SUCCESS) here().element(*at, 1).wrong_type("a string");
  return merge;
}

void read_merges(const JsonField& merges_field, const Vocab& vocab, MergeTable& merges) {
  const auto array = merges_field.array();
  merges = MergeTable(array.size());
  const bool strings = array.size() > 0 && (*array.begin()).is_string();  // one style for the whole array
  int32_t rank = 0;
  std::string joined;
  size_t index = 0;
  for (const element value : array) {
    const auto here = [&] { return merges_field.element(value, index); };
    const auto id_of = [&](std::string_view token) {
      const int32_t id = vocab.find(token);
      if (id < 0) fail(ErrorCode::kInvalid, "{}: \"{}\" is not in model.vocab", here().where(), token.substr(0, 100));
      return id;
    };
    std::string_view line;
    if (strings && value.get(line) != simdjson::SUCCESS) here().wrong_type("a string, as in the entries before");
    if (!line.starts_with("#version")) {
      const MergeStrings merge = strings ? split_merge(line, here) : read_pair(value, here);
      const int32_t left = id_of(merge.left);
      const int32_t right = id_of(merge.right);
      joined.assign(merge.left).append(merge.right);
      merges.set(left, right, {rank++, id_of(joined)});
    }
    ++index;
  }
}

void require_absent(const JsonField& model, std::string_view name) {
  const auto field = model.find(name);
  if (!field || field->string().empty()) return;
  fail(ErrorCode::kUnsupported, "{}: \"{}\"; known is null", field->where(), field->string());
}

void read_model(const JsonField& model, TokenizerSpec& spec) {
  const auto type = model.find("type");  // files of 2019 and 2020 have none
  if (type && type->string() != "BPE") {
    fail(ErrorCode::kUnsupported, "{}: \"{}\"; known is BPE", type->where(), type->string());
  }
  if (const auto dropout = model.find("dropout")) {
    double value = 0;
    if (dropout->value().get(value) != simdjson::SUCCESS) dropout->wrong_type("null or a number");
    if (value != 0) fail(ErrorCode::kUnsupported, "{}: {}; known are null and 0", dropout->where(), value);
  }
  require_absent(model, "continuing_subword_prefix");
  require_absent(model, "end_of_word_suffix");
  if (boolean_or_false(model, "byte_fallback")) {
    fail(ErrorCode::kUnsupported, "{}: true; known is false (byte-level BPE)", model.member("byte_fallback").where());
  }
  if (const auto unk = model.find("unk_token")) spec.unk_token = unk->string();
  spec.fuse_unk = boolean_or_false(model, "fuse_unk");
  spec.ignore_merges = boolean_or_false(model, "ignore_merges");
  read_vocab(model.member("vocab"), spec.vocab);
  read_merges(model.member("merges"), spec.vocab, spec.merges);
}

// ---- added_tokens

// The `tokenizers` package gives an added token the id of its string in the vocabulary, or else the next free one, and
// ignores the file's number. A file that says otherwise does not fit its own model, so it is refused.
void read_added_tokens(const JsonField& field, TokenizerSpec& spec) {
  Vocab added;
  int32_t next_id = spec.vocab.size();
  size_t index = 0;
  for (const element value : field.array()) {
    const JsonField entry = field.element(value, index++);
    AddedToken token{.id = token_id(entry.member("id")),
                     .content = std::string(entry.member("content").string()),
                     .special = entry.member("special").boolean(),
                     .normalized = entry.member("normalized").boolean(),
                     .lstrip = entry.member("lstrip").boolean(),
                     .rstrip = entry.member("rstrip").boolean(),
                     .single_word = entry.member("single_word").boolean()};
    if (token.content.empty()) continue;
    const int32_t in_vocab = spec.vocab.find(token.content);
    const int32_t expected = in_vocab >= 0 ? in_vocab : next_id;
    if (added.find(token.content) >= 0) {
      fail(ErrorCode::kInvalid, "{}.content: \"{}\" appears twice", entry.where(), token.content);
    }
    if (token.id != expected || (in_vocab < 0 && spec.vocab.has(expected))) {
      fail(ErrorCode::kInvalid, "{}.id: expected {} for \"{}\" ({}), found {}", entry.where(), expected, token.content,
           in_vocab >= 0 ? "its id in model.vocab" : "the next id behind model.vocab", token.id);
    }
    if (in_vocab < 0) ++next_id;
    added.insert(token.content, token.id);
    spec.added_tokens.push_back(std::move(token));
  }
}

// ---- normalizer, pre_tokenizer, post_processor, decoder

void read_normalizer(const JsonField& field) {
  const std::string_view type = type_of(field);
  if (type != "Sequence") {
    fail(ErrorCode::kUnsupported, "{}.type: \"{}\"; known are null and Sequence", field.where(), type);
  }
  const JsonField list = field.member("normalizers");
  size_t index = 0;
  for (const element value : list.array()) read_normalizer(list.element(value, index++));
}

SplitBehavior split_behavior(const JsonField& field) {
  const std::string_view name = field.string();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  fail(ErrorCode::kUnsupported,
       "{}: \"{}\"; known are Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous", field.where(), name);
}

PreTokenizer::Split read_split(const JsonField& field) {
  const SplitBehavior behavior = split_behavior(field.member("behavior"));
  const bool invert = field.member("invert").boolean();
  const JsonField pattern = field.member("pattern");
  if (const auto literal = pattern.find("String")) {
    return {Regex(escape_regex(literal->string()), literal->where()), behavior, invert};
  }
  const JsonField regex = pattern.member("Regex");
  if (auto scanner = PieceScanner::for_pattern(regex.string())) return {*scanner, behavior, invert};
  return {Regex(regex.string(), regex.where()), behavior, invert};
}

void read_pre_tokenizer(const JsonField& field, PreTokenizer& out) {
  const std::string_view type = type_of(field);
  if (out.byte_level() && type != "Sequence") {
    fail(ErrorCode::kUnsupported, "{}: {} behind ByteLevel; known is ByteLevel as the last of a Sequence",
         field.where(), type);
  }
  if (out.stages() == PreTokenizer::kMaxStages) {
    fail(ErrorCode::kLimit, "{}: one of more than {} pre-tokenizers", field.where(), PreTokenizer::kMaxStages);
  }
  if (type == "Sequence") {
    const JsonField list = field.member("pretokenizers");
    size_t index = 0;
    for (const element value : list.array()) read_pre_tokenizer(list.element(value, index++), out);
  } else if (type == "Split") {
    out.add(read_split(field));
  } else if (type == "Digits") {
    out.add(PreTokenizer::Digits{field.member("individual_digits").boolean()});
  } else if (type == "ByteLevel") {
    const auto use_regex = field.find("use_regex");  // files from before 2022 have none: true
    out.add(PreTokenizer::ByteLevel{.add_prefix_space = field.member("add_prefix_space").boolean(),
                                    .use_regex = !use_regex || use_regex->boolean()});
  } else {
    fail(ErrorCode::kUnsupported, "{}.type: \"{}\"; known are ByteLevel, Split, Digits, Sequence", field.where(), type);
  }
}

std::vector<int32_t> read_template(const JsonField& field) {
  std::vector<int32_t> out;
  const JsonField single = field.member("single");
  size_t index = 0;
  for (const element value : single.array()) {
    const JsonField piece = single.element(value, index++);
    if (const auto sequence = piece.find("Sequence")) {
      const JsonField id = sequence->member("id");
      if (id.string() != "A") fail(ErrorCode::kInvalid, "{}: expected \"A\", found \"{}\"", id.where(), id.string());
      out.push_back(TokenizerSpec::kSequence);
      continue;
    }
    const std::string_view name = piece.member("SpecialToken").member("id").string();
    const JsonField ids = field.member("special_tokens").member(name).member("ids");
    size_t at = 0;
    for (const element id : ids.array()) out.push_back(token_id(ids.element(id, at++)));
  }
  return out;
}

void read_post_processor(const JsonField& field, std::optional<std::vector<int32_t>>& out) {
  const std::string_view type = type_of(field);
  if (type == "Sequence") {
    const JsonField list = field.member("processors");
    size_t index = 0;
    for (const element value : list.array()) read_post_processor(list.element(value, index++), out);
  } else if (type == "TemplateProcessing") {
    if (out) fail(ErrorCode::kUnsupported, "{}: a second TemplateProcessing; known is one", field.where());
    out = read_template(field);
  } else if (type != "ByteLevel") {  // ByteLevel changes offsets only
    fail(ErrorCode::kUnsupported, "{}.type: \"{}\"; known are ByteLevel, TemplateProcessing, Sequence", field.where(),
         type);
  }
}

void read_decoder(const JsonField& field, TokenizerSpec::Decoder& out) {
  using Decoder = TokenizerSpec::Decoder;
  const std::string_view type = type_of(field);
  if (type == "Sequence") {
    if (out == Decoder::kJoinWithSpaces) out = Decoder::kConcatenate;
    const JsonField list = field.member("decoders");
    size_t index = 0;
    for (const element value : list.array()) read_decoder(list.element(value, index++), out);
  } else if (type == "ByteLevel") {
    if (out == Decoder::kByteLevel)
      fail(ErrorCode::kUnsupported, "{}: a second ByteLevel; known is one", field.where());
    out = Decoder::kByteLevel;
  } else if (type == "Fuse") {
    if (out == Decoder::kJoinWithSpaces) out = Decoder::kConcatenate;
  } else {
    fail(ErrorCode::kUnsupported, "{}.type: \"{}\"; known are ByteLevel, Fuse, Sequence", field.where(), type);
  }
}

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view source) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  element document;
  simdjson::error_code error = parser.allocate(text.size(), kMaxDepth);
  if (error == simdjson::SUCCESS) error = parser.parse(padded).get(document);
  if (error != simdjson::SUCCESS) {
    fail(ErrorCode::kInvalid, "{}: not a JSON document: {}", source, simdjson::error_message(error));
  }
  const JsonField root(document, "", source);
  if (const auto version = root.find("version"); version && version->string() != "1.0") {
    fail(ErrorCode::kUnsupported, "{}: \"{}\"; known is 1.0", version->where(), version->string());
  }
  TokenizerSpec spec;
  read_model(root.member("model"), spec);
  if (const auto field = root.find("added_tokens")) read_added_tokens(*field, spec);
  if (const auto field = root.find("normalizer")) read_normalizer(*field);
  if (const auto field = root.find("pre_tokenizer")) read_pre_tokenizer(*field, spec.pre_tokenizer);
  std::optional<std::vector<int32_t>> post_template;
  if (const auto field = root.find("post_processor")) read_post_processor(*field, post_template);
  if (post_template) spec.post_template = std::move(*post_template);
  if (const auto field = root.find("decoder")) read_decoder(*field, spec.decoder);
  return spec;
}

}  // namespace glimmer
