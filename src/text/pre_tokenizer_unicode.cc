#include "text/pre_tokenizer_unicode.h"

#include <memory>

namespace glimmer {
namespace {

#include "text/pre_tokenizer_unicode_tables.inc"

void mark(uint8_t* classes, std::span<const CodePointRange> ranges, uint8_t bits) {
  for (const CodePointRange& range : ranges) {
    for (char32_t c = range.low; c <= range.high; ++c) classes[c] |= bits;
  }
}

std::unique_ptr<uint8_t[]> build_char_classes() {
  auto classes = std::make_unique<uint8_t[]>(0x110000);
  mark(classes.get(), kLetterRanges, kLetter | kWord);
  mark(classes.get(), kNumberRanges, kNumber | kNumeric);
  mark(classes.get(), kMoreNumericRanges, kNumeric);
  mark(classes.get(), kSpaceRanges, kSpace);
  mark(classes.get(), kWordNotLetterRanges, kWord);
  return classes;
}

}  // namespace

std::span<const CategoryRange> category_ranges_since_unicode14() { return kCategoryRangesSinceUnicode14; }
std::span<const CodePointRange> space_ranges() { return kSpaceRanges; }

const uint8_t* char_classes() {
  static const std::unique_ptr<uint8_t[]> classes = build_char_classes();
  return classes.get();
}

}  // namespace glimmer
