// Distributed Llama's files, good and bad. The good ones were written by tools/dllama.py.
#include "format/dllama.h"

#include <gmock/gmock.h>

#include <cstring>
#include <random>

#include "base/error.h"
#include "base/mapped_file.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::byte> bytes_of(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {file.bytes().begin(), file.bytes().end()};
}

std::filesystem::path golden(std::string_view name) { return testing::source_dir() / "tests/source/dllama" / name; }

std::vector<std::filesystem::path> all_models() {
  return {golden("llama_f32/model.m"),     golden("llama_q80/model.m"),    golden("qwen3_q40/model.m"),
          golden("qwen3_moe_f16/model.m"), golden("glm_no_bias.m"),        golden("glm4_bias.m"),
          golden("glm4_moe_mtp.m"),        golden("glm4_moe_lite_flash.m")};
}

struct Pair {
  int32_t key;
  int32_t value;
};

// A file with this header, and as many bytes of data as asked for.
std::vector<std::byte> file_of(const std::vector<Pair>& pairs, size_t data_bytes = 0) {
  std::vector<int32_t> ints = {0x0A00ABCD, static_cast<int32_t>(8 + 8 * pairs.size())};
  for (const Pair& pair : pairs) ints.insert(ints.end(), {pair.key, pair.value});
  std::vector<std::byte> file(4 * ints.size() + data_bytes);
  std::memcpy(file.data(), ints.data(), 4 * ints.size());
  return file;
}

std::vector<Pair> pairs_of(std::span<const std::byte> file) {
  int32_t size = 0;
  std::memcpy(&size, file.data() + 4, 4);
  std::vector<Pair> pairs(static_cast<size_t>(size - 8) / 8);
  std::memcpy(pairs.data(), file.data() + 8, pairs.size() * sizeof(Pair));
  return pairs;
}

std::vector<std::byte> with_pairs(std::span<const std::byte> file, const std::vector<Pair>& pairs) {
  std::vector<std::byte> out = file_of(pairs);
  const size_t header = 8 + 8 * pairs_of(file).size();
  out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(header), file.end());
  return out;
}

// The message, with "" for none; anything but an Error fails the test.
std::string message_of(std::span<const std::byte> file) {
  try {
    parse_dllama(file, "x.m");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// LLAMA, one layer, everything small: 4 heads of 2, hidden 8, intermediate 12, vocabulary 5.
std::vector<Pair> small_llama() {
  return {{0, 0}, {1, 0xABCD00}, {11, 1},  {2, 8}, {3, 12}, {4, 1}, {5, 4},
          {6, 2}, {13, 0},       {10, 64}, {9, 5}, {7, 0},  {8, 0}};
}
constexpr size_t kSmallLlamaFloats = 5 * 8 + (8 * 8 + 4 * 8 + 4 * 8 + 8 * 8) + 3 * 12 * 8 + 2 * 8 + 8 + 5 * 8;

TEST(DllamaModel, HasTheTensorsOfThePlanInOrder) {
  const DllamaContent content = parse_dllama(file_of(small_llama(), 4 * kSmallLlamaFloats), "x.m");
  std::vector<std::string> names;
  for (const TensorInfo& tensor : content.tensors) names.push_back(tensor.name + tensor.shape.to_string());
  EXPECT_THAT(
      names,
      ElementsAre("model.embed_tokens.weight[5, 8]", "model.layers.0.self_attn.q_proj.weight[8, 8]",
                  "model.layers.0.self_attn.k_proj.weight[4, 8]", "model.layers.0.self_attn.v_proj.weight[4, 8]",
                  "model.layers.0.self_attn.o_proj.weight[8, 8]", "model.layers.0.mlp.gate_proj.weight[12, 8]",
                  "model.layers.0.mlp.down_proj.weight[8, 12]", "model.layers.0.mlp.up_proj.weight[12, 8]",
                  "model.layers.0.input_layernorm.weight[8]", "model.layers.0.post_attention_layernorm.weight[8]",
                  "model.norm.weight[8]", "lm_head.weight[5, 8]"));
}

TEST(DllamaModel, AbsentKeysMeanWhatDistributedLlamaTakesThemFor) {
  const DllamaHeader h = parse_dllama_header(file_of(small_llama()), "x.m");
  EXPECT_EQ(h.head_dim, 2);
  EXPECT_EQ(h.rope_theta, 10000);
  EXPECT_EQ(h.rms_norm_eps, 1e-5);
  EXPECT_FALSE(h.gelu);
  EXPECT_FALSE(h.has_extension_keys);
}

TEST(DllamaModel, StoredRowsOfLlamaAreNeighbours) {
  // A head of 6: halves 0 1 2 and 3 4 5 become 0 3 1 4 2 5.
  const int64_t expected[] = {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11};
  for (int64_t row = 0; row < 12; ++row) EXPECT_EQ(dllama_stored_row(row, 6), expected[row]) << row;
}

TEST(DllamaModel, ReadsEveryGoldenAndWritesItsHeaderAgain) {
  for (const auto& path : all_models()) {
    const std::vector<std::byte> file = bytes_of(path);
    const DllamaContent content = parse_dllama(file, "x.m");
    const auto size = static_cast<size_t>(content.header.header_bytes);
    const std::vector<std::byte> header = encode_dllama_header(content.header);
    EXPECT_EQ(header, std::vector<std::byte>(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size))) << path;
    EXPECT_EQ(dllama_extension_reason(content.header).has_value(), content.header.has_extension_keys) << path;
  }
}

TEST(DllamaModel, ExactValuesGoThroughTheHeader) {
  DllamaHeader h = parse_dllama_header(file_of(small_llama()), "x.m");
  h.rope_theta = 1234567.875;
  h.rms_norm_eps = 1.5625e-07;
  h.tie_word_embeddings = true;
  h.eos_token_ids = {3, 1, 4};
  h.pad_token_id = 2;
  h.dtype = DType::kBF16;
  h.rope_scaling = {.type = DllamaRopeScaling::Type::kYarn,
                    .factor = 4.5,
                    .original_max_position_embeddings = 32,
                    .beta_fast = 16.25,
                    .beta_slow = 0.5,
                    .truncate = false,
                    .attention_factor = 1.138,
                    .mscale_all_dim = 0.707};
  h.tensor_types = {{1, DType::kF16}, {5, DType::kF16}};
  EXPECT_EQ(dllama_extension_reason(h), "rope_theta");
  const DllamaHeader again = parse_dllama_header(encode_dllama_header(h), "x.m");
  EXPECT_EQ(again.rope_theta, h.rope_theta);
  EXPECT_EQ(again.rms_norm_eps, h.rms_norm_eps);
  EXPECT_TRUE(again.tie_word_embeddings);
  EXPECT_EQ(again.eos_token_ids, h.eos_token_ids);
  EXPECT_EQ(again.pad_token_id, h.pad_token_id);
  EXPECT_EQ(again.bos_token_id, std::nullopt);
  EXPECT_EQ(again.dtype, h.dtype);
  EXPECT_EQ(again.rope_scaling, h.rope_scaling);
  EXPECT_EQ(again.tensor_types, h.tensor_types);
  EXPECT_TRUE(again.has_extension_keys);
}

TEST(DllamaModel, EveryTruncationIsRefused) {
  for (const auto& path : all_models()) {
    const std::vector<std::byte> file = bytes_of(path);
    const size_t header = 8 + 8 * pairs_of(file).size();
    for (size_t size = 0; size < file.size(); size += size < header + 64 ? 1 : 997) {
      EXPECT_NE(message_of(std::span(file).first(size)), "") << path << " cut to " << size;
    }
  }
}

TEST(DllamaModel, BytesBehindTheLastTensorAreRefused) {
  EXPECT_THAT(message_of(file_of(small_llama(), 4 * kSmallLlamaFloats + 1)),
              HasSubstr("1 bytes behind the last tensor"));
  EXPECT_THAT(message_of(file_of(small_llama(), 4 * kSmallLlamaFloats - 1)), HasSubstr("lm_head.weight"));
}

// Each value of each key of each golden becomes each of these: an error, or a file that still fits.
TEST(DllamaModel, NoHeaderValueDoesHarm) {
  constexpr int32_t kValues[] = {0, 1, 2, 3, -1, 7, 255, 65535, 65536, 1 << 20, 1 << 24, INT32_MAX, INT32_MIN};
  int refused = 0;
  for (const auto& path : all_models()) {
    const std::vector<std::byte> file = bytes_of(path);
    const std::vector<Pair> pairs = pairs_of(file);
    for (size_t i = 0; i < pairs.size(); ++i) {
      for (const int32_t value : kValues) {
        std::vector<Pair> changed = pairs;
        changed[i].value = value;
        const std::string message = message_of(with_pairs(file, changed));
        refused += message.empty() ? 0 : 1;
        if (!message.empty()) {
          EXPECT_THAT(message, ::testing::StartsWith("x.m: ")) << path;
        }
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

// Sizes, types and flags that change what is stored must be noticed.
TEST(DllamaModel, AnotherSizeNeverFitsTheFile) {
  for (const auto& path : all_models()) {
    const std::vector<std::byte> file = bytes_of(path);
    const std::vector<Pair> pairs = pairs_of(file);
    for (size_t i = 0; i < pairs.size(); ++i) {
      const int32_t key = pairs[i].key;
      const bool sizes = key == 2 || key == 3 || key == 4 || key == 7 || key == 9 || key == 19 || key == 21 ||
                         key == 114 || key == 131 || key == 132 || key == 133 || key == 134 || key == 135 ||
                         key == 137 || key == 138 || key == 139;
      if (!sizes || pairs[i].value == 0) continue;
      const bool dense = pairs[1].value == 0xABCD02 && key == 3;  // no layer of QWEN3_MOE has hidden_dim
      if (dense) continue;
      std::vector<Pair> changed = pairs;
      changed[i].value += key == 138 || key == 139 ? -1 : 2;
      if (key == 3 && pairs[1].value >= 0xABCD04) continue;  // tested where every layer is dense
      EXPECT_NE(message_of(with_pairs(file, changed)), "") << path << " key " << key;
    }
  }
}

TEST(DllamaModel, EachKeyIsNeededOrHasItsMeaningWhenAbsent) {
  for (const auto& path : all_models()) {
    const std::vector<std::byte> file = bytes_of(path);
    const std::vector<Pair> pairs = pairs_of(file);
    for (size_t i = 0; i < pairs.size(); ++i) {
      std::vector<Pair> changed = pairs;
      changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
      const int32_t key = pairs[i].key;
      const bool optional = key == 0 || key == 11 || key == 12 || key == 18 || key == 19 || key == 20 ||
                            (key >= 141 && key <= 143) || ((key == 7 || key == 8) && pairs[i].value == 0);
      const std::string message = message_of(with_pairs(file, changed));
      const bool required = !optional || (pairs[1].value >= 0xABCD03 && key < 141 && key != 0);
      EXPECT_TRUE(!required || !message.empty()) << path << " key " << key;
      changed = pairs;
      changed.push_back(pairs[i]);
      EXPECT_THAT(message_of(with_pairs(file, changed)), HasSubstr("appears twice")) << path << " key " << key;
    }
  }
}

TEST(DllamaModel, RefusesWhatItsHeaderCannotMean) {
  const auto with = [](int32_t key, int32_t value) {
    std::vector<Pair> pairs = small_llama();
    for (Pair& pair : pairs) {
      if (pair.key == key) {
        pair.value = value;
        return message_of(file_of(pairs, 4 * kSmallLlamaFloats));
      }
    }
    pairs.push_back({key, value});
    return message_of(file_of(pairs, 4 * kSmallLlamaFloats));
  };
  EXPECT_THAT(with(22, 0), HasSubstr("header key 22 is not known"));
  EXPECT_THAT(with(-1, 0), HasSubstr("header key -1 is not known"));
  EXPECT_THAT(with(1, 0xABCDEF), HasSubstr("0xABCDEF is not known; known are 0xABCD00"));
  EXPECT_THAT(with(13, 4), HasSubstr("4 is not known; known are 0 (F32)"));
  EXPECT_THAT(with(13, 2), HasSubstr("8 columns of Q4_0, expected a multiple of 32"));
  EXPECT_THAT(with(6, 3), HasSubstr("expected a divisor of n_heads 4"));
  EXPECT_THAT(with(7, 4), HasSubstr("n_experts"));
  EXPECT_THAT(with(18, 1), HasSubstr("rope_type"));
  EXPECT_THAT(with(20, 7), HasSubstr("norm_epsilon"));
  EXPECT_THAT(with(14, 8), HasSubstr("rope_scaling_low_freq_factor) is missing"));
  EXPECT_THAT(with(100, 2), HasSubstr("extension_version): 2, expected 1 to 1"));
  EXPECT_THAT(with(111, 1), HasSubstr("extension_version) is missing"));
  EXPECT_THAT(with(19, 3), HasSubstr("expected an even number"));
}

TEST(DllamaModel, RefusesKeysOfAnotherArchitecture) {
  std::vector<Pair> pairs = small_llama();
  pairs.insert(pairs.end(), {{100, 1}, {132, 16}});
  EXPECT_THAT(message_of(file_of(pairs)),
              HasSubstr("key 132 (kv_lora_rank) has no meaning in a file of this kind (LLAMA)"));
  pairs.back() = {65536 + 9, 1};  // a norm
  EXPECT_THAT(message_of(file_of(pairs, 4 * kSmallLlamaFloats)), HasSubstr("is F32 always"));
  pairs.back() = {65536 + 12, 1};
  EXPECT_THAT(message_of(file_of(pairs, 4 * kSmallLlamaFloats)), HasSubstr("a type for tensor 12 of 12"));
  pairs.back() = {65536 + 1, 1};
  EXPECT_EQ(message_of(file_of(pairs, 4 * kSmallLlamaFloats - 2 * 64)), "");
}

TEST(DllamaModel, RefusesOtherFiles) {
  EXPECT_THAT(message_of({}), HasSubstr("0 bytes"));
  std::vector<std::byte> file = file_of(small_llama());
  const int32_t old = 0xABCD00;
  std::memcpy(file.data(), &old, 4);
  EXPECT_THAT(message_of(file), HasSubstr("of old"));
  file[3] = std::byte{1};
  EXPECT_THAT(message_of(file), HasSubstr("expected 0x0A00ABCD"));
  file = file_of(small_llama());
  for (const int32_t size : {-8, 0, 7, 9, 12, 8 + 8 * 14, INT32_MAX, INT32_MIN}) {
    std::memcpy(file.data() + 4, &size, 4);
    EXPECT_THAT(message_of(file), HasSubstr("header size")) << size;
  }
}

// A header may ask for far more than the file has: refused at the first tensor that is not there, before any list
// grows.
TEST(DllamaModel, AHugePlanCostsNothing) {
  std::vector<Pair> pairs = {{1, 0xABCD02}, {2, 1}, {3, 1},  {4, 4096}, {5, 1},  {6, 1}, {7, 65536},
                             {8, 1},        {9, 1}, {10, 1}, {13, 1},   {19, 2}, {21, 1}};
  EXPECT_THAT(message_of(file_of(pairs, 1 << 10)), HasSubstr("are left of the file"));
  EXPECT_THAT(message_of(file_of(pairs, 1 << 24)), HasSubstr("more than 262144 tensors"));
}

}  // namespace
}  // namespace glimmer
