// Measures loading and encoding: bench_tokenizer TOKENIZER_JSON [TEXT_FILE]
// Prints the load time, then MB/s of one thread's processor time for the text as a whole, for pieces of 4 KiB, for a
// second pass over the same pieces (warm cache), and for runs of one character, where a quadratic merge would show.
// Without TEXT_FILE the text is made up of English, code and Chinese.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <random>

#include "base/error.h"
#include "base/mapped_file.h"
#include "text/tokenizer.h"

namespace {

// Processor time of this thread, so that a busy machine does not count.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// English, code and Chinese in turn; words by a Zipf law, so that some are frequent and most are rare.
std::string made_up_text(size_t bytes) {
  std::mt19937_64 random(1);
  const auto zipf = [&](int size) {
    const double u = std::uniform_real_distribution(0.0, 1.0)(random);
    return static_cast<int>(std::pow(size, u)) - 1;
  };
  const auto word = [&](int rank) {
    std::mt19937_64 letters(rank);
    std::string out;
    for (int i = 0, n = 2 + static_cast<int>(letters() % 3); i < n; ++i) {
      out += "bcdfghjklmnprstvw"[letters() % 17];
      out += "aeiou"[letters() % 5];
      if (letters() % 3 == 0) out += "nrst"[letters() % 4];
    }
    return out;
  };
  const auto han = [&](int rank) {
    const char32_t c = 0x4E00 + (rank * 7919) % 0x5000;
    return std::string{static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
                       static_cast<char>(0x80 | (c & 63))};
  };
  std::string out;
  while (out.size() < bytes) {
    for (int i = 0; i < 40; ++i) out += (i % 9 ? " " : i ? ", " : "\n\n") + word(zipf(50000));
    out += ".\n\nint " + word(zipf(5000)) + "_" + word(zipf(5000)) + "(const char* " + word(zipf(500)) + ") {\n";
    for (int i = 0; i < 6; ++i) {
      out += fmt::format("    if ({}[{}] != '\\n') return {}({:.3f});\n", word(zipf(500)), random() % 100,
                         word(zipf(5000)), static_cast<double>(random() % 100000) / 7);
    }
    out += "}\n";
    for (int i = 0; i < 120; ++i) out += i % 15 ? han(zipf(6000)) : std::string("，");
    out += "。\n";
  }
  return out;
}

void measure(const char* what, const glimmer::Tokenizer& tokenizer, std::string_view text, size_t piece_bytes) {
  const double start = cpu_seconds();
  size_t tokens = 0;
  for (size_t at = 0; at < text.size(); at += piece_bytes)
    tokens += tokenizer.encode(text.substr(at, piece_bytes)).size();
  const double seconds = cpu_seconds() - start;
  fmt::print("{:<28} {:8.2f} MB/s  {:8.3f} s  {:9} tokens\n", what, static_cast<double>(text.size()) / 1e6 / seconds,
             seconds, tokens);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: bench_tokenizer TOKENIZER_JSON [TEXT_FILE]\n");
    return 2;
  }
  const double start = cpu_seconds();
  const auto tokenizer = glimmer::Tokenizer::from_file(argv[1]);
  fmt::print("load {:.3f} s, {} tokens\n", cpu_seconds() - start, tokenizer.vocab_size());
  const std::string text = argc == 3 ? glimmer::read_file(argv[2]) : made_up_text(10'000'000);
  measure("whole text", tokenizer, text, text.size());
  measure("pieces of 4 KiB", tokenizer, text, 4096);
  measure("pieces of 4 KiB, again", tokenizer, text, 4096);
  measure("1 MB of a", tokenizer, std::string(1'000'000, 'a'), 1'000'000);
  measure("1 MB of spaces", tokenizer, std::string(1'000'000, ' '), 1'000'000);
  measure("1 MB of newlines", tokenizer, std::string(1'000'000, '\n'), 1'000'000);
  return 0;
} catch (const glimmer::Error& error) {
  fmt::print(stderr, "bench_tokenizer: {}\n", error.what());
  return 1;
}
