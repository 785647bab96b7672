#include "format/dllama_header.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {
namespace {

constexpr uint32_t kMagic = 0x0A00ABCD;
constexpr int64_t kFixedBytes = 8;

// clang-format off
enum Key : int32_t {
  kVersion = 0, kArchType = 1, kDim = 2, kHiddenDim = 3, kNLayers = 4, kNHeads = 5, kNKvHeads = 6, kNExperts = 7,
  kNActiveExperts = 8, kVocabSize = 9, kMaxSeqLen = 10, kHiddenAct = 11, kRopeTheta = 12, kWeightsFloatType = 13,
  kRopeScalingFactor = 14, kRopeScalingLowFreqFactor = 15, kRopeScalingHighFreqFactor = 16,
  kRopeScalingOrigMaxSeqLen = 17, kRopeType = 18, kHeadDim = 19, kNormEpsilon = 20, kMoeHiddenDim = 21,
  // Glimmer's. A float64 is two keys: the lower half of its bits, then the upper.
  kExtensionVersion = 100, kRopeThetaF64 = 101, kRmsNormEpsF64 = 103, kPartialRotaryFactor = 105,
  kRoutedScalingFactor = 107, kAttentionBias = 109, kUseQkNorm = 110, kTieWordEmbeddings = 111, kSandwichNorms = 112,
  kFusedGateUp = 113, kNSharedExperts = 114, kNGroup = 115, kTopkGroup = 116, kNormTopkProb = 117,
  kScalingType = 118, kScalingFactor = 119, kScalingOriginalMax = 121, kBetaFast = 122, kBetaSlow = 124,
  kAttentionFactor = 126, kMscaleAllDim = 128, kTruncate = 130, kQLoraRank = 131, kKvLoraRank = 132,
  kQkNopeHeadDim = 133, kQkRopeHeadDim = 134, kVHeadDim = 135, kSplitKvB = 136, kNNextnPredictLayers = 137,
  kMtpEmbedTokens = 138, kMtpSharedHead = 139, kNEosTokens = 140, kBosTokenId = 141, kPadTokenId = 142, kDtype = 143,
  kFirstEosToken = 160,      // to 191
  kFirstSparseLayers = 200,  // to 331: 32 layers a key
  kFirstTensorType = 65536,  // by index in the plan
};

struct KeyName { int32_t key; const char* name; };
constexpr KeyName kKeyNames[] = {
    {kVersion, "version"}, {kArchType, "arch_type"}, {kDim, "dim"}, {kHiddenDim, "hidden_dim"}, {kNLayers, "n_layers"},
    {kNHeads, "n_heads"}, {kNKvHeads, "n_kv_heads"}, {kNExperts, "n_experts"}, {kNActiveExperts, "n_active_experts"},
    {kVocabSize, "vocab_size"}, {kMaxSeqLen, "max_seq_len"}, {kHiddenAct, "hidden_act"}, {kRopeTheta, "rope_theta"},
    {kWeightsFloatType, "weights_float_type"}, {kRopeScalingFactor, "rope_scaling_factor"},
    {kRopeScalingLowFreqFactor, "rope_scaling_low_freq_factor"},
    {kRopeScalingHighFreqFactor, "rope_scaling_high_freq_factor"},
    {kRopeScalingOrigMaxSeqLen, "rope_scaling_orig_max_seq_len"}, {kRopeType, "rope_type"}, {kHeadDim, "head_dim"},
    {kNormEpsilon, "norm_epsilon"}, {kMoeHiddenDim, "moe_hidden_dim"}, {kExtensionVersion, "extension_version"},
    {kRopeThetaF64, "rope_theta_f64"}, {kRmsNormEpsF64, "rms_norm_eps_f64"},
    {kPartialRotaryFactor, "partial_rotary_factor"}, {kRoutedScalingFactor, "routed_scaling_factor"},
    {kAttentionBias, "attention_bias"}, {kUseQkNorm, "use_qk_norm"}, {kTieWordEmbeddings, "tie_word_embeddings"},
    {kSandwichNorms, "sandwich_norms"}, {kFusedGateUp, "fused_gate_up"}, {kNSharedExperts, "n_shared_experts"},
    {kNGroup, "n_group"}, {kTopkGroup, "topk_group"}, {kNormTopkProb, "norm_topk_prob"},
    {kScalingType, "scaling_type"}, {kScalingFactor, "scaling_factor"},
    {kScalingOriginalMax, "original_max_position_embeddings"}, {kBetaFast, "beta_fast"}, {kBetaSlow, "beta_slow"},
    {kAttentionFactor, "attention_factor"}, {kMscaleAllDim, "mscale_all_dim"}, {kTruncate, "truncate"},
    {kQLoraRank, "q_lora_rank"}, {kKvLoraRank, "kv_lora_rank"}, {kQkNopeHeadDim, "qk_nope_head_dim"},
    {kQkRopeHeadDim, "qk_rope_head_dim"}, {kVHeadDim, "v_head_dim"}, {kSplitKvB, "split_kv_b"},
    {kNNextnPredictLayers, "num_nextn_predict_layers"}, {kMtpEmbedTokens, "mtp_embed_tokens"},
    {kMtpSharedHead, "mtp_shared_head"}, {kNEosTokens, "n_eos_tokens"}, {kBosTokenId, "bos_token_id"},
    {kPadTokenId, "pad_token_id"}, {kDtype, "dtype"},
};
// clang-format on

constexpr int32_t kFloat64Keys[] = {
    kRopeThetaF64, kRmsNormEpsF64, kPartialRotaryFactor, kRoutedScalingFactor, kScalingFactor,
    kBetaFast,     kBetaSlow,      kAttentionFactor,     kMscaleAllDim};
constexpr int64_t kSparseKeys = (kMaxDllamaLayers + 64 + 31) / 32;
constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr std::array<DType, 4> kFloatTypes = {DType::kF32, DType::kF16, DType::kQ4_0, DType::kQ8_0};

// "norm_epsilon"; nothing if the key is unknown.
std::string key_name(int32_t key) {
  for (const KeyName& known : kKeyNames) {
    if (known.key == key) return known.name;
  }
  for (const int32_t low : kFloat64Keys) {
    if (key == low + 1) return key_name(low) + ", upper half";
  }
  if (key >= kFirstEosToken && key < kFirstEosToken + kMaxDllamaEosIds) {
    return fmt::format("eos_token_id[{}]", key - kFirstEosToken);
  }
  if (key >= kFirstSparseLayers && key < kFirstSparseLayers + kSparseKeys) {
    return fmt::format("sparse_layers[{}]", 32 * (key - kFirstSparseLayers));
  }
  if (key >= kFirstTensorType && key < kFirstTensorType + kMaxDllamaTensors) {
    return fmt::format("tensor_type[{}]", key - kFirstTensorType);
  }
  return "";
}

int32_t read_int(std::span<const std::byte> bytes, size_t at) {
  int32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The pairs of a header. Remembers which keys were asked for, so that one that no one asks for is not passed over.
class KeyReader {
 public:
  KeyReader(std::span<const std::byte> pairs, std::string_view file) : file_(file) {
    for (size_t at = 0; at < pairs.size(); at += 8) {
      const int32_t key = read_int(pairs, at);
      if (key_name(key).empty()) fail(ErrorCode::kInvalid, "{}: header key {} is not known", file_, key);
      if (!values_.emplace(key, read_int(pairs, at + 4)).second) {
        fail(ErrorCode::kInvalid, "{}: {} appears twice", file_, label(key));
      }
    }
  }

  bool has(int32_t key) const { return values_.contains(key); }
  bool has_extension() const { return !values_.empty() && values_.rbegin()->first >= kExtensionVersion; }

  std::optional<int64_t> find(int32_t key, int64_t low, int64_t high) {
    const auto it = values_.find(key);
    if (it == values_.end()) return std::nullopt;
    used_.insert(key);
    if (it->second < low || it->second > high) {
      fail(ErrorCode::kInvalid, "{}: {}: {}, expected {} to {}", file_, label(key), it->second, low, high);
    }
    return it->second;
  }

  int64_t require(int32_t key, int64_t low, int64_t high) {
    const auto value = find(key, low, high);
    if (!value) fail(ErrorCode::kInvalid, "{}: {} is missing", file_, label(key));
    return *value;
  }

  bool flag(int32_t key) { return require(key, 0, 1) == 1; }

  double require_f64(int32_t key, double low) {
    const auto half = [&](int32_t part) {
      return static_cast<uint64_t>(static_cast<uint32_t>(require(part, std::numeric_limits<int32_t>::min(), kMaxInt)));
    };
    const auto value = std::bit_cast<double>(half(key) | half(key + 1) << 32);
    if (!std::isfinite(value) || value < low || value > 1e30) {
      fail(ErrorCode::kInvalid, "{}: {}: {}, expected a number from {} to 1e30", file_, label(key), value, low);
    }
    return value;
  }

  std::optional<DType> find_type(int32_t key) {
    const auto it = values_.find(key);
    if (it == values_.end()) return std::nullopt;
    used_.insert(key);
    if (it->second < 0 || it->second >= static_cast<int32_t>(kFloatTypes.size())) {
      fail(ErrorCode::kUnsupported, "{}: {}: {} is not known; known are 0 (F32), 1 (F16), 2 (Q40), 3 (Q80)", file_,
           label(key), it->second);
    }
    return kFloatTypes[static_cast<size_t>(it->second)];
  }

  void read_tensor_types(std::map<int64_t, DType>& types) {
    for (auto it = values_.lower_bound(kFirstTensorType); it != values_.end(); ++it) {
      types.emplace(it->first - kFirstTensorType, *find_type(it->first));
    }
  }

  void require_all_used(DllamaArch arch) const {
    for (const auto& [key, value] : values_) {
      if (!used_.contains(key)) {
        fail(ErrorCode::kInvalid, "{}: {} has no meaning in a file of this kind ({})", file_, label(key),
             dllama_arch_name(arch));
      }
    }
  }

  std::string label(int32_t key) const { return fmt::format("header key {} ({})", key, key_name(key)); }
  std::string_view file() const { return file_; }

 private:
  std::string_view file_;
  std::map<int32_t, int32_t> values_;
  std::set<int32_t> used_;
};

DllamaArch read_arch(KeyReader& keys) {
  constexpr auto kFirst = static_cast<int64_t>(DllamaArch::kLlama);
  constexpr auto kLast = static_cast<int64_t>(DllamaArch::kGlm4MoeLite);
  const int64_t value = keys.require(kArchType, std::numeric_limits<int32_t>::min(), kMaxInt);
  if (value < kFirst || value > kLast) {
    fail(ErrorCode::kUnsupported,
         "{}: {}: 0x{:X} is not known; known are 0xABCD00 (LLAMA), 0xABCD01 (QWEN3), 0xABCD02 (QWEN3_MOE), and "
         "Glimmer's 0xABCD03 (GLM4), 0xABCD04 (GLM4_MOE), 0xABCD05 (GLM4_MOE_LITE)",
         keys.file(), keys.label(kArchType), static_cast<uint32_t>(value));
  }
  return static_cast<DllamaArch>(value);
}

void read_sizes(KeyReader& keys, DllamaHeader& h) {
  h.hidden_size = keys.require(kDim, 1, 1 << 20);
  h.intermediate_size = keys.require(kHiddenDim, 1, 1 << 24);
  h.num_hidden_layers = keys.require(kNLayers, 1, kMaxDllamaLayers);
  h.num_attention_heads = keys.require(kNHeads, 1, 1 << 16);
  h.num_key_value_heads = keys.require(kNKvHeads, 1, h.num_attention_heads);
  if (h.num_attention_heads % h.num_key_value_heads != 0) {
    fail(ErrorCode::kInvalid, "{}: {}: {}, expected a divisor of n_heads {}", keys.file(), keys.label(kNKvHeads),
         h.num_key_value_heads, h.num_attention_heads);
  }
  h.vocab_size = keys.require(kVocabSize, 1, kMaxInt);
  h.max_position_embeddings = keys.require(kMaxSeqLen, 1, kMaxInt);
  h.gelu = keys.find(kHiddenAct, 0, 1).value_or(1) == 0;
  const auto weights = keys.find_type(kWeightsFloatType);
  if (!weights) fail(ErrorCode::kInvalid, "{}: {} is missing", keys.file(), keys.label(kWeightsFloatType));
  h.weights = *weights;
}

void read_head_dim(KeyReader& keys, DllamaHeader& h) {
  const auto head_dim = keys.find(kHeadDim, 0, 1 << 16).value_or(0);
  h.head_dim = head_dim != 0 ? head_dim : h.hidden_size / h.num_attention_heads;
  if (h.head_dim < 2 || h.head_dim > 1 << 16 || h.head_dim % 2 != 0) {  // it may come of dim and n_heads
    fail(ErrorCode::kInvalid, "{}: {}: {}, expected an even number from 2 to 65536", keys.file(), keys.label(kHeadDim),
         h.head_dim);
  }
}

// An exact value takes the place of the whole number that the format has.
void read_theta_and_eps(KeyReader& keys, DllamaHeader& h) {
  if (keys.has(kRopeThetaF64)) {
    h.rope_theta = keys.require_f64(kRopeThetaF64, 1e-30);
  } else {
    h.rope_theta = static_cast<double>(keys.find(kRopeTheta, 1, kMaxInt).value_or(10000));
  }
  if (keys.has(kRmsNormEpsF64)) {
    h.rms_norm_eps = keys.require_f64(kRmsNormEpsF64, 1e-30);
  } else {
    h.rms_norm_eps = keys.find(kNormEpsilon, 5, 6).value_or(5) == 5 ? 1e-5 : 1e-6;
  }
}

void read_llama3_scaling(KeyReader& keys, DllamaHeader& h) {
  if (h.arch != DllamaArch::kLlama) return;  // then the keys are refused: Distributed Llama takes no notice of them
  if (keys.find(kRopeType, 0, 2).value_or(0) == 1) {
    fail(ErrorCode::kUnsupported, "{}: {}: 1 (half-split) is not known for LLAMA, whose rows are permuted for 0",
         keys.file(), keys.label(kRopeType));
  }
  DllamaRopeScaling& scaling = h.rope_scaling;
  const bool any = keys.has(kRopeScalingFactor) || keys.has(kRopeScalingLowFreqFactor) ||
                   keys.has(kRopeScalingHighFreqFactor) || keys.has(kRopeScalingOrigMaxSeqLen);
  if (!any) return;
  scaling.type = DllamaRopeScaling::Type::kLlama3;
  scaling.factor = static_cast<double>(keys.require(kRopeScalingFactor, 1, kMaxInt));
  scaling.low_freq_factor = static_cast<double>(keys.require(kRopeScalingLowFreqFactor, 1, 1 << 20));
  scaling.high_freq_factor = static_cast<double>(keys.require(kRopeScalingHighFreqFactor, 1, 1 << 20));
  scaling.original_max_position_embeddings = keys.require(kRopeScalingOrigMaxSeqLen, 1, kMaxInt);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    fail(ErrorCode::kInvalid, "{}: {}: {}, expected more than rope_scaling_low_freq_factor {}", keys.file(),
         keys.label(kRopeScalingHighFreqFactor), scaling.high_freq_factor, scaling.low_freq_factor);
  }
}

void read_upstream(KeyReader& keys, DllamaHeader& h) {
  read_head_dim(keys, h);
  read_theta_and_eps(keys, h);
  read_llama3_scaling(keys, h);
  h.rope_interleaved = h.arch == DllamaArch::kLlama;
  if (h.arch != DllamaArch::kLlama) keys.find(kRopeType, 1, 1);
  h.use_qk_norm = h.arch != DllamaArch::kLlama;
  const bool moe = h.arch == DllamaArch::kQwen3Moe;
  h.n_routed_experts = moe ? keys.require(kNExperts, 2, 65536) : keys.find(kNExperts, 0, 0).value_or(0);
  h.num_experts_per_tok =
      moe ? keys.require(kNActiveExperts, 1, h.n_routed_experts) : keys.find(kNActiveExperts, 0, 65536).value_or(0);
  h.moe_intermediate_size =
      moe ? keys.require(kMoeHiddenDim, 1, 1 << 24) : keys.find(kMoeHiddenDim, 0, 1 << 24).value_or(0);
  h.sparse_layers.assign(static_cast<size_t>(h.num_hidden_layers), moe);
  h.tie_word_embeddings = keys.find(kTieWordEmbeddings, 0, 1).value_or(0) == 1;
}

void read_scaling(KeyReader& keys, DllamaHeader& h) {
  if (!keys.has(kScalingType)) return;
  DllamaRopeScaling& scaling = h.rope_scaling;
  if (scaling.type != DllamaRopeScaling::Type::kNone) {
    fail(ErrorCode::kInvalid, "{}: {} beside {}: expected one kind of scaling", keys.file(), keys.label(kScalingType),
         keys.label(kRopeScalingFactor));
  }
  scaling.type = static_cast<DllamaRopeScaling::Type>(keys.require(kScalingType, 1, 2));
  scaling.factor = keys.require_f64(kScalingFactor, 1e-30);
  scaling.mscale_all_dim = keys.require_f64(kMscaleAllDim, 0);
  if (scaling.type != DllamaRopeScaling::Type::kYarn) return;
  scaling.original_max_position_embeddings = keys.require(kScalingOriginalMax, 1, kMaxInt);
  scaling.beta_fast = keys.require_f64(kBetaFast, 1e-30);
  scaling.beta_slow = keys.require_f64(kBetaSlow, 1e-30);
  scaling.attention_factor = keys.require_f64(kAttentionFactor, 1e-30);
  scaling.truncate = keys.flag(kTruncate);
}

void read_mla(KeyReader& keys, DllamaHeader& h) {
  if (h.num_key_value_heads != h.num_attention_heads) {
    fail(ErrorCode::kInvalid, "{}: {}: {}, expected n_heads {}: latent attention has a key for every head", keys.file(),
         keys.label(kNKvHeads), h.num_key_value_heads, h.num_attention_heads);
  }
  h.q_lora_rank = keys.require(kQLoraRank, 0, 1 << 20);
  h.kv_lora_rank = keys.require(kKvLoraRank, 1, 1 << 20);
  h.qk_nope_head_dim = keys.require(kQkNopeHeadDim, 1, 1 << 16);
  h.qk_rope_head_dim = keys.require(kQkRopeHeadDim, 2, 1 << 16);
  h.v_head_dim = keys.require(kVHeadDim, 1, 1 << 16);
  h.split_kv_b = keys.flag(kSplitKvB);
}

void read_moe(KeyReader& keys, DllamaHeader& h) {
  h.n_routed_experts = keys.require(kNExperts, 2, 65536);
  h.num_experts_per_tok = keys.require(kNActiveExperts, 1, h.n_routed_experts);
  h.moe_intermediate_size = keys.require(kMoeHiddenDim, 1, 1 << 24);
  h.n_shared_experts = keys.require(kNSharedExperts, 0, 1024);
  h.n_group = keys.require(kNGroup, 1, h.n_routed_experts);
  h.topk_group = keys.require(kTopkGroup, 1, h.n_group);
  h.norm_topk_prob = keys.flag(kNormTopkProb);
  h.routed_scaling_factor = keys.require_f64(kRoutedScalingFactor, 0);
  h.num_nextn_predict_layers = keys.require(kNNextnPredictLayers, 0, 64);
  if (h.num_nextn_predict_layers > 0) {
    h.mtp_embed_tokens = keys.flag(kMtpEmbedTokens);
    h.mtp_shared_head = keys.flag(kMtpSharedHead);
  }
  const int64_t layers = h.all_layers();
  for (int64_t first = 0; first < layers; first += 32) {
    const auto key = static_cast<int32_t>(kFirstSparseLayers + first / 32);
    const auto bits = static_cast<uint32_t>(keys.require(key, std::numeric_limits<int32_t>::min(), kMaxInt));
    const int64_t count = std::min<int64_t>(32, layers - first);
    if (count < 32 && bits >> count != 0) {
      fail(ErrorCode::kInvalid, "{}: {}: 0x{:X}, expected bits of {} layers", keys.file(), keys.label(key), bits,
           count);
    }
    for (int64_t i = 0; i < count; ++i) h.sparse_layers.push_back((bits >> i & 1) == 1);
  }
}

void read_glm(KeyReader& keys, DllamaHeader& h) {
  for (const int32_t key : {kExtensionVersion, kHiddenAct}) keys.require(key, 1, 1);
  h.rope_theta = keys.require_f64(kRopeThetaF64, 1e-30);
  h.rms_norm_eps = keys.require_f64(kRmsNormEpsF64, 1e-30);
  h.rope_interleaved = keys.require(kRopeType, 0, 1) == 0;
  h.partial_rotary_factor = keys.require_f64(kPartialRotaryFactor, 1e-30);
  h.attention_bias = keys.flag(kAttentionBias);
  h.tie_word_embeddings = keys.flag(kTieWordEmbeddings);
  if (h.arch == DllamaArch::kGlm4MoeLite) {
    read_mla(keys, h);
  } else {
    keys.require(kHeadDim, 2, 1 << 16);
    read_head_dim(keys, h);
  }
  if (h.arch == DllamaArch::kGlm4) {
    h.sandwich_norms = keys.flag(kSandwichNorms);
    h.fused_gate_up = keys.flag(kFusedGateUp);
    h.sparse_layers.assign(static_cast<size_t>(h.num_hidden_layers), false);
  } else {
    read_moe(keys, h);
  }
  if (h.arch == DllamaArch::kGlm4Moe) h.use_qk_norm = keys.flag(kUseQkNorm);
}

void read_ids(KeyReader& keys, DllamaHeader& h) {
  const int64_t count = keys.find(kNEosTokens, 0, kMaxDllamaEosIds).value_or(0);
  for (int64_t i = 0; i < count; ++i) {
    h.eos_token_ids.push_back(static_cast<int32_t>(keys.require(static_cast<int32_t>(kFirstEosToken + i), 0, kMaxInt)));
  }
  if (const auto id = keys.find(kBosTokenId, 0, kMaxInt)) h.bos_token_id = static_cast<int32_t>(*id);
  if (const auto id = keys.find(kPadTokenId, 0, kMaxInt)) h.pad_token_id = static_cast<int32_t>(*id);
  if (const auto dtype = keys.find(kDtype, 0, 2)) {
    h.dtype = std::array{DType::kF32, DType::kF16, DType::kBF16}[static_cast<size_t>(*dtype)];
  }
}

// The pairs, after the magic and the size are found right.
std::span<const std::byte> header_pairs(std::span<const std::byte> file, std::string_view name) {
  if (file.size() < kFixedBytes) {
    fail(ErrorCode::kInvalid, "{}: {} bytes, expected at least the {} of a header", name, file.size(), kFixedBytes);
  }
  const auto magic = static_cast<uint32_t>(read_int(file, 0));
  if (magic == 0xABCD00 || magic == 0xABCD01) {
    fail(ErrorCode::kUnsupported, "{}: magic 0x{:X}: a model file of old, without keys; convert the model anew", name,
         magic);
  }
  if (magic != kMagic) {
    fail(ErrorCode::kInvalid, "{}: magic 0x{:08X}, expected 0x{:08X} of a Distributed Llama model", name, magic,
         kMagic);
  }
  const int64_t size = read_int(file, 4);
  if (size < kFixedBytes || (size - kFixedBytes) % 8 != 0) {
    fail(ErrorCode::kInvalid, "{}: header size {}, expected 8 and 8 more for each key", name, size);
  }
  if (static_cast<uint64_t>(size) > file.size()) {
    fail(ErrorCode::kInvalid, "{}: header size {} exceeds the file's {} bytes; it is truncated or damaged", name, size,
         file.size());
  }
  return file.subspan(kFixedBytes, static_cast<size_t>(size - kFixedBytes));
}

// ---- writing

class KeyWriter {
 public:
  void put(int32_t key, int64_t value) {
    GLIMMER_CHECK(value >= std::numeric_limits<int32_t>::min() && value <= kMaxInt, "{}: {}", key_name(key), value);
    append(key);
    append(static_cast<int32_t>(value));
  }
  void put_f64(int32_t key, double value) {
    const auto bits = std::bit_cast<uint64_t>(value);
    put(key, static_cast<int32_t>(static_cast<uint32_t>(bits)));
    put(key + 1, static_cast<int32_t>(static_cast<uint32_t>(bits >> 32)));
  }
  void append(int32_t value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out_.insert(out_.end(), bytes, bytes + sizeof value);
  }
  std::vector<std::byte> take() {
    const auto size = static_cast<int32_t>(out_.size());
    std::memcpy(out_.data() + 4, &size, sizeof size);
    return std::move(out_);
  }

 private:
  std::vector<std::byte> out_;
};

int64_t float_type(DType type) {
  for (size_t i = 0; i < kFloatTypes.size(); ++i) {
    if (kFloatTypes[i] == type) return static_cast<int64_t>(i);
  }
  GLIMMER_CHECK(false, "{} is no float type of the format", dtype_name(type));
  return -1;
}

bool is_whole(double value) {
  return value >= 1 && value <= static_cast<double>(kMaxInt) && std::floor(value) == value;
}
bool theta_fits(const DllamaHeader& h) { return is_upstream(h.arch) && is_whole(h.rope_theta); }
bool eps_fits(const DllamaHeader& h) {
  return is_upstream(h.arch) && (h.rms_norm_eps == 1e-5 || h.rms_norm_eps == 1e-6);
}

void write_scaling(KeyWriter& out, const DllamaHeader& h) {
  const DllamaRopeScaling& scaling = h.rope_scaling;
  if (scaling.type == DllamaRopeScaling::Type::kNone || scaling.type == DllamaRopeScaling::Type::kLlama3) return;
  out.put(kScalingType, static_cast<int64_t>(scaling.type));
  out.put_f64(kScalingFactor, scaling.factor);
  const bool yarn = scaling.type == DllamaRopeScaling::Type::kYarn;
  if (yarn) {
    out.put(kScalingOriginalMax, scaling.original_max_position_embeddings);
    out.put_f64(kBetaFast, scaling.beta_fast);
    out.put_f64(kBetaSlow, scaling.beta_slow);
    out.put_f64(kAttentionFactor, scaling.attention_factor);
  }
  out.put_f64(kMscaleAllDim, scaling.mscale_all_dim);
  if (yarn) out.put(kTruncate, scaling.truncate ? 1 : 0);
}

// The format's own keys, in the order of its converter.
void write_own(KeyWriter& out, const DllamaHeader& h) {
  out.put(kVersion, 0);
  out.put(kArchType, static_cast<int64_t>(h.arch));
  out.put(kHiddenAct, h.gelu ? 0 : 1);
  out.put(kDim, h.hidden_size);
  out.put(kHiddenDim, h.intermediate_size);
  out.put(kNLayers, h.num_hidden_layers);
  out.put(kNHeads, h.num_attention_heads);
  out.put(kNKvHeads, h.num_key_value_heads);
  out.put(kWeightsFloatType, float_type(h.weights));
  out.put(kMaxSeqLen, h.max_position_embeddings);
  out.put(kVocabSize, h.vocab_size);
  if (is_upstream(h.arch) || is_moe(h.arch)) {
    out.put(kNExperts, h.n_routed_experts);
    out.put(kNActiveExperts, h.num_experts_per_tok);
  }
  if (theta_fits(h)) out.put(kRopeTheta, static_cast<int64_t>(h.rope_theta));
  if (h.rope_scaling.type == DllamaRopeScaling::Type::kLlama3) {
    out.put(kRopeScalingFactor, static_cast<int64_t>(h.rope_scaling.factor));
    out.put(kRopeScalingLowFreqFactor, static_cast<int64_t>(h.rope_scaling.low_freq_factor));
    out.put(kRopeScalingHighFreqFactor, static_cast<int64_t>(h.rope_scaling.high_freq_factor));
    out.put(kRopeScalingOrigMaxSeqLen, h.rope_scaling.original_max_position_embeddings);
    out.put(kRopeType, 2);
  }
  if (!is_upstream(h.arch)) out.put(kRopeType, h.rope_interleaved ? 0 : 1);
  if (h.arch != DllamaArch::kGlm4MoeLite) out.put(kHeadDim, h.head_dim);
  if (eps_fits(h)) out.put(kNormEpsilon, h.rms_norm_eps == 1e-5 ? 5 : 6);
  if (is_moe(h.arch)) out.put(kMoeHiddenDim, h.moe_intermediate_size);
}

void write_moe(KeyWriter& out, const DllamaHeader& h) {
  out.put(kNSharedExperts, h.n_shared_experts);
  out.put(kNGroup, h.n_group);
  out.put(kTopkGroup, h.topk_group);
  out.put(kNormTopkProb, h.norm_topk_prob ? 1 : 0);
}

void write_mla(KeyWriter& out, const DllamaHeader& h) {
  out.put(kQLoraRank, h.q_lora_rank);
  out.put(kKvLoraRank, h.kv_lora_rank);
  out.put(kQkNopeHeadDim, h.qk_nope_head_dim);
  out.put(kQkRopeHeadDim, h.qk_rope_head_dim);
  out.put(kVHeadDim, h.v_head_dim);
  out.put(kSplitKvB, h.split_kv_b ? 1 : 0);
}

void write_ids(KeyWriter& out, const DllamaHeader& h) {
  GLIMMER_CHECK(static_cast<int64_t>(h.eos_token_ids.size()) <= kMaxDllamaEosIds, "{} eos ids", h.eos_token_ids.size());
  if (!h.eos_token_ids.empty()) out.put(kNEosTokens, static_cast<int64_t>(h.eos_token_ids.size()));
  if (h.bos_token_id) out.put(kBosTokenId, *h.bos_token_id);
  if (h.pad_token_id) out.put(kPadTokenId, *h.pad_token_id);
  if (h.dtype) out.put(kDtype, *h.dtype == DType::kF32 ? 0 : *h.dtype == DType::kF16 ? 1 : 2);
  for (size_t i = 0; i < h.eos_token_ids.size(); ++i) {
    out.put(static_cast<int32_t>(kFirstEosToken + i), h.eos_token_ids[i]);
  }
}

void write_sparse_layers(KeyWriter& out, const DllamaHeader& h) {
  GLIMMER_CHECK(static_cast<int64_t>(h.sparse_layers.size()) == h.all_layers(), "{} layers in sparse_layers",
                h.sparse_layers.size());
  for (int64_t first = 0; first < h.all_layers(); first += 32) {
    uint32_t bits = 0;
    for (int64_t i = first; i < std::min(h.all_layers(), first + 32); ++i) {
      bits |= static_cast<uint32_t>(h.is_sparse(i)) << (i - first);
    }
    out.put(static_cast<int32_t>(kFirstSparseLayers + first / 32), static_cast<int32_t>(bits));
  }
}

// Glimmer's keys, ascending.
void write_extension(KeyWriter& out, const DllamaHeader& h) {
  const bool glm = !is_upstream(h.arch);
  const bool glm_moe = glm && is_moe(h.arch);
  out.put(kExtensionVersion, 1);
  if (!theta_fits(h)) out.put_f64(kRopeThetaF64, h.rope_theta);
  if (!eps_fits(h)) out.put_f64(kRmsNormEpsF64, h.rms_norm_eps);
  if (glm) out.put_f64(kPartialRotaryFactor, h.partial_rotary_factor);
  if (glm_moe) out.put_f64(kRoutedScalingFactor, h.routed_scaling_factor);
  if (glm) out.put(kAttentionBias, h.attention_bias ? 1 : 0);
  if (h.arch == DllamaArch::kGlm4Moe) out.put(kUseQkNorm, h.use_qk_norm ? 1 : 0);
  if (glm || h.tie_word_embeddings) out.put(kTieWordEmbeddings, h.tie_word_embeddings ? 1 : 0);
  if (h.arch == DllamaArch::kGlm4) {
    out.put(kSandwichNorms, h.sandwich_norms ? 1 : 0);
    out.put(kFusedGateUp, h.fused_gate_up ? 1 : 0);
  }
  if (glm_moe) write_moe(out, h);
  write_scaling(out, h);
  if (h.arch == DllamaArch::kGlm4MoeLite) write_mla(out, h);
  if (glm_moe) {
    out.put(kNNextnPredictLayers, h.num_nextn_predict_layers);
    if (h.num_nextn_predict_layers > 0) {
      out.put(kMtpEmbedTokens, h.mtp_embed_tokens ? 1 : 0);
      out.put(kMtpSharedHead, h.mtp_shared_head ? 1 : 0);
    }
  }
  write_ids(out, h);
  if (glm_moe) write_sparse_layers(out, h);
  for (const auto& [index, type] : h.tensor_types) {
    GLIMMER_CHECK(index >= 0 && index < kMaxDllamaTensors, "tensor {}", index);
    out.put(static_cast<int32_t>(kFirstTensorType + index), float_type(type));
  }
}

}  // namespace

std::string_view dllama_arch_name(DllamaArch arch) {
  switch (arch) {
    case DllamaArch::kLlama:
      return "LLAMA";
    case DllamaArch::kQwen3:
      return "QWEN3";
    case DllamaArch::kQwen3Moe:
      return "QWEN3_MOE";
    case DllamaArch::kGlm4:
      return "GLM4";
    case DllamaArch::kGlm4Moe:
      return "GLM4_MOE";
    case DllamaArch::kGlm4MoeLite:
      return "GLM4_MOE_LITE";
  }
  return "";
}

DllamaHeader parse_dllama_header(std::span<const std::byte> file, std::string_view file_name) {
  const std::span<const std::byte> pairs = header_pairs(file, file_name);
  KeyReader keys(pairs, file_name);
  DllamaHeader h;
  h.header_bytes = kFixedBytes + static_cast<int64_t>(pairs.size());
  h.has_extension_keys = keys.has_extension();
  h.arch = read_arch(keys);
  keys.find(kVersion, 0, 0);
  if (h.has_extension_keys) keys.require(kExtensionVersion, 1, 1);
  read_sizes(keys, h);
  if (is_upstream(h.arch)) {
    read_upstream(keys, h);
  } else {
    read_glm(keys, h);
  }
  read_scaling(keys, h);
  read_ids(keys, h);
  keys.read_tensor_types(h.tensor_types);
  keys.require_all_used(h.arch);
  return h;
}

std::optional<std::string_view> dllama_extension_reason(const DllamaHeader& h) {
  using Type = DllamaRopeScaling::Type;
  if (!is_upstream(h.arch)) return "the architecture";
  if (!theta_fits(h)) return "rope_theta";
  if (!eps_fits(h)) return "rms_norm_eps";
  if (h.tie_word_embeddings) return "tie_word_embeddings";
  if (h.rope_scaling.type == Type::kLinear || h.rope_scaling.type == Type::kYarn) return "rope_scaling";
  if (!h.eos_token_ids.empty()) return "eos_token_id";
  if (h.bos_token_id) return "bos_token_id";
  if (h.pad_token_id) return "pad_token_id";
  if (h.dtype) return "dtype";
  if (!h.tensor_types.empty()) return "types of single tensors";
  return std::nullopt;
}

std::vector<std::byte> encode_dllama_header(const DllamaHeader& h) {
  KeyWriter out;
  out.append(static_cast<int32_t>(kMagic));
  out.append(0);
  write_own(out, h);
  if (dllama_extension_reason(h)) write_extension(out, h);
  return out.take();
}

}  // namespace glimmer
