#include "session/guarded_text.h"

#include <algorithm>

#include "base/utf8.h"

namespace glimmer {
namespace {

// The mark is U+FDD0, a noncharacter, which texts do not use. If one occurs all the same, it is escaped.
constexpr std::string_view kMark = "\xEF\xB7\x90";
constexpr char kBarrier = 'b';  // after the mark
constexpr char kLiteral = 'l';  // after the mark: a U+FDD0 of the text
constexpr std::string_view kEndMark =
    "\xEF\xB7\x90"
    "e";

constexpr std::string_view kNoThink = "/nothink";

}  // namespace

TextGuard::TextGuard(const Tokenizer& tokenizer) {
  for (const AddedToken& token : tokenizer.added_tokens()) {
    if (token.content.empty() || token.content == kNoThink) continue;
    patterns_.add(token.content, static_cast<int32_t>(tokens_.size()));
    tokens_.push_back(token.content);
  }
  patterns_.finish();
}

std::optional<size_t> TextGuard::next_token(PatternStarts& starts, size_t from,
                                            std::span<const std::string_view> allowed) const {
  const auto is_allowed = [&](const PatternSet::Match& match) {
    return std::find(allowed.begin(), allowed.end(), tokens_[static_cast<size_t>(match.value)]) != allowed.end();
  };
  while (const PatternSet::Match* longest = starts.next(from)) {
    for (PatternSet::Match match = *longest; match.size > 0; match = patterns_.next_shorter(match)) {
      if (!is_allowed(match)) return match.begin;
    }
    from = longest->begin + 1;
  }
  return std::nullopt;
}

std::string TextGuard::guard(std::string_view text, std::span<const std::string_view> allowed) const {
  std::string out;
  out.reserve(text.size());
  PatternStarts starts(patterns_, text);
  size_t mark = text.find(kMark);
  for (size_t at = 0;;) {
    const std::optional<size_t> token = next_token(starts, at, allowed);
    if (!token && mark == std::string_view::npos) return out.append(text.substr(at));
    if (!token || mark <= *token) {
      out.append(text.substr(at, mark - at)).append(kMark) += kLiteral;
      at = mark + kMark.size();
      mark = text.find(kMark, at);
    } else {
      // A token of one character would need its barrier within the character: there is none in any tokenizer known.
      const size_t end = *token + decode_utf8(text, *token).size_bytes;
      out.append(text.substr(at, end - at)).append(kMark) += kBarrier;
      at = end;
    }
  }
}

Json TextGuard::guard_json(const Json& value) const {
  if (value.is_string()) return guard(value.get_ref<const std::string&>());
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& element : value) out.push_back(guard_json(element));
    return out;
  }
  if (value.is_object()) {
    // Guarded names differ as the names do, so the linear search of operator[] is not needed.
    Json::object_t out;
    for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
      static_cast<std::vector<Json::object_t::value_type>&>(out).emplace_back(guard(name), guard_json(member));
    }
    return out;
  }
  return value;
}

std::string_view TextGuard::end_mark() { return kEndMark; }

GuardedPrompt TextGuard::open(std::string_view rendered) {
  GuardedPrompt out;
  out.text.reserve(rendered.size());
  for (;;) {
    const size_t mark = rendered.find(kMark);
    out.text.append(rendered.substr(0, mark));
    if (mark == std::string_view::npos) return out;
    rendered.remove_prefix(mark + kMark.size());
    const char kind = rendered.empty() ? '\0' : rendered.front();
    if (kind == kEndMark.back()) {
      rendered.remove_prefix(1);
    } else if (kind == kBarrier) {
      out.barriers.push_back(out.text.size());
      rendered.remove_prefix(1);
    } else {  // a U+FDD0 of a text, or of the template itself
      out.text.append(kMark);
      if (kind == kLiteral) rendered.remove_prefix(1);
    }
  }
}

}  // namespace glimmer
