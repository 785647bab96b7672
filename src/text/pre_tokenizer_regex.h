// The regular expressions of tokenizer.json. The `tokenizers` package runs them with Oniguruma (Ruby syntax, Unicode
// 16); here they are rewritten for PCRE2 and compiled by its JIT.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace glimmer {

struct Span {
  size_t begin = 0;
  size_t end = 0;
};

// What one thread needs while it matches: PCRE2's match data and stack, reusable for any Regex.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Immutable, for any number of threads, each with its own RegexScratch.
class Regex {
 public:
  // `where` (file and field) begins every message. Throws kUnsupported for syntax that is not carried over, kInvalid
  // for a pattern that PCRE2 refuses.
  Regex(std::string_view pattern, std::string_view where);
  ~Regex();
  Regex(Regex&&) noexcept;

  // The leftmost match that begins at or after `from`. `text` is valid UTF-8. Throws kLimit if PCRE2 gives up.
  bool find(std::string_view text, size_t from, RegexScratch& scratch, Span& match) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The PCRE2 pattern (for UTF, UCP, MULTILINE and a newline of LF) that matches as Oniguruma's `pattern` does:
//   \s \S are White_Space; \d and \p{..} gain what Unicode 15 and 16 added; \h is a hexadecimal digit; \v is U+000B;
//   {,n} is {0,n}; {n,m}+ repeats, it is not possessive; (?m) is dot-all; groups do not capture.
// Throws kUnsupported, beginning with `where`, for what is left out: \w \b \R \X \K, back references, named groups,
// nested and intersected classes, POSIX classes, (?i) other than at a start, scripts other than Han.
std::string translate_regex(std::string_view pattern, std::string_view where);

// The pattern that matches `literal` as it stands.
std::string escape_regex(std::string_view literal);

}  // namespace glimmer
