#include "source/gguf_pre_type.h"

#include <array>

#include "base/name_table.h"

namespace glimmer {
namespace {

constexpr std::string_view kUpToThreeDigits =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSingleDigits =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The first of several that split alike is what a tokenizer is written as, once GLM is told from the others.
constexpr std::array kPreTypes = {
    GgufPreType{.name = "glm4", .split = kUpToThreeDigits, .ignore_merges = true, .glm = true},
    GgufPreType{.name = "chatglm-bpe", .split = kUpToThreeDigits, .ignore_merges = true, .glm = true},
    GgufPreType{.name = "llama-bpe", .split = kUpToThreeDigits, .ignore_merges = true, .adds_bos = true},
    GgufPreType{.name = "llama3", .split = kUpToThreeDigits, .ignore_merges = true, .adds_bos = true},
    GgufPreType{.name = "llama-v3", .split = kUpToThreeDigits, .ignore_merges = true, .adds_bos = true},
    GgufPreType{.name = "smaug-bpe", .split = kUpToThreeDigits},
    GgufPreType{.name = "qwen2", .split = kSingleDigits, .nfc = true},
    GgufPreType{.name = "smollm", .digits = true},
    GgufPreType{.name = "gpt-2"},
};

}  // namespace

std::span<const GgufPreType> gguf_pre_types() { return kPreTypes; }

const GgufPreType* find_gguf_pre_type(std::string_view name) { return find_named(kPreTypes, name, &GgufPreType::name); }

std::string known_gguf_pre_types() { return list_names(kPreTypes, &GgufPreType::name); }

}  // namespace glimmer
