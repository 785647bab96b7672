#include "serve/guarded_text.h"

#include <algorithm>

#include "base/utf8.h"

namespace glimmer {
namespace {

// U+FDD0 is a noncharacter: no text means anything by it. Where one is in a text all the same, it is escaped.
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
    tokens_.push_back(token.content);
    may_begin_[static_cast<unsigned char>(token.content.front())] = true;
  }
}

bool TextGuard::begins_token(std::string_view text, std::span<const std::string_view> allowed) const {
  return std::any_of(tokens_.begin(), tokens_.end(), [&](const std::string& token) {
    return text.starts_with(token) && std::find(allowed.begin(), allowed.end(), token) == allowed.end();
  });
}

std::string TextGuard::guard(std::string_view text, std::span<const std::string_view> allowed) const {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(kMark)) {
      out.append(kMark) += kLiteral;
      at += kMark.size();
      continue;
    }
    const bool begins = may_begin_[static_cast<unsigned char>(text[at])] && begins_token(text.substr(at), allowed);
    // A token of one character would need its barrier within the character: there is none in any tokenizer known.
    const size_t size = begins ? decode_utf8(text, at).size_bytes : 1;
    out.append(text.substr(at, size));
    if (begins) out.append(kMark) += kBarrier;
    at += size;
  }
  return out;
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
    } else {  // of a text, or the template's own
      out.text.append(kMark);
      if (kind == kLiteral) rendered.remove_prefix(1);
    }
  }
}

}  // namespace glimmer
