#include "source/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "source/json_field.h"

namespace glimmer {
namespace {

// transformers' get_mscale.
double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

[[noreturn]] void unsupported(const GgufMetadata& metadata, std::string_view key, const std::string& why) {
  const GgufValue* value = metadata.find(key);
  fail(ErrorCode::kUnsupported, "{}: metadata {}: {}{}", metadata.source(), quoted_name(key),
       value == nullptr ? "" : value->describe() + ": ", why);
}

// llama.cpp multiplies cos and sin by attn_factor * (1 + 0.1 ln factor), and without the latter if deepseek2 has a
// yarn_log_multiplier; that is 0.1 * mscale_all_dim and scales the scores.
void read_yarn(const GgufMetadata& metadata, const GgufArchitecture& architecture, Json& out) {
  const std::string prefix = fmt::format("{}.rope.scaling.", architecture.name);
  const double factor = metadata.require_number(prefix + "factor");
  out["factor"] = factor;
  const std::string original = prefix + "original_context_length";
  out["original_max_position_embeddings"] =
      metadata.has(original) ? metadata.require_integer(original)
                             : metadata.require_integer(fmt::format("{}.context_length", architecture.name));
  out["beta_fast"] = metadata.number(prefix + "yarn_beta_fast").value_or(32);
  out["beta_slow"] = metadata.number(prefix + "yarn_beta_slow").value_or(1);
  if (metadata.number(prefix + "yarn_ext_factor").value_or(1) != 1) {
    unsupported(metadata, prefix + "yarn_ext_factor", "only 1 is supported");
  }
  const double attention =
      metadata.number(prefix + "attn_factor").value_or(1) * metadata.number(prefix + "yarn_attn_factor").value_or(1);
  const double log_multiplier = metadata.number(prefix + "yarn_log_multiplier").value_or(0);
  if (architecture.name == "deepseek2") {
    if (log_multiplier == 0 || attention != 1) {
      unsupported(metadata, prefix + "yarn_log_multiplier", "YaRN of deepseek2 needs it, and an attention factor of 1");
    }
    const double mscale = std::round(log_multiplier * 1e7) / 1e6;  // an f32 of 0.1 * mscale_all_dim
    out["mscale"] = mscale;
    out["mscale_all_dim"] = mscale;
  } else if (log_multiplier != 0) {
    unsupported(metadata, prefix + "yarn_log_multiplier", "supported for deepseek2 only");
  } else if (attention != 1) {
    out["attention_factor"] = attention * yarn_mscale(factor, 1);
  }
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::abs(x - y) <= 1e-4F * std::abs(y); });
}

void read_llama3(const GgufMetadata& metadata, const GgufArchitecture& architecture, const std::vector<float>& divisors,
                 int64_t head_dim, double rope_theta, Json& out) {
  const std::string prefix = fmt::format("{}.rope.scaling.", architecture.name);
  Llama3Rope rope;
  const auto own = [&](std::string_view key, double fallback) {
    return metadata.number(prefix + std::string(key)).value_or(fallback);
  };
  rope.factor = own("llama3.factor", *std::max_element(divisors.begin(), divisors.end()));
  rope.low_freq_factor = own("llama3.low_freq_factor", rope.low_freq_factor);
  rope.high_freq_factor = own("llama3.high_freq_factor", rope.high_freq_factor);
  rope.original_max_position_embeddings = own("original_context_length", rope.original_max_position_embeddings);
  if (static_cast<int64_t>(divisors.size()) != head_dim / 2 ||
      !same(divisors, llama3_divisors(rope, rope_theta, head_dim))) {
    fail(ErrorCode::kUnsupported,
         "{}: tensor \"rope_freqs.weight\": its {} divisors are not those of rope_type llama3 with factor {}, "
         "low_freq_factor {}, high_freq_factor {} and a context of {}",
         metadata.source(), divisors.size(), rope.factor, rope.low_freq_factor, rope.high_freq_factor,
         rope.original_max_position_embeddings);
  }
  out["rope_type"] = "llama3";
  out["factor"] = rope.factor;
  out["low_freq_factor"] = rope.low_freq_factor;
  out["high_freq_factor"] = rope.high_freq_factor;
  out["original_max_position_embeddings"] = static_cast<int64_t>(rope.original_max_position_embeddings);
}

void add_yarn(const RopeFields& rope, const GgufArchitecture& architecture, std::string_view source,
              std::vector<GgufKeyValue>& metadata) {
  const std::string prefix = fmt::format("{}.rope.scaling.", architecture.name);
  const JsonFields dict(rope.dict, source, "rope_parameters.");
  const double factor = dict.require_number("factor");
  const double beta_fast = dict.number_or("beta_fast", 0);
  const double beta_slow = dict.number_or("beta_slow", 0);
  if (!dict.bool_or("truncate", true)) dict.unsupported("truncate", "GGUF always rounds the bounds of YaRN's ramp");
  const double mscale = dict.number_or("mscale", 0);
  const double mscale_all_dim = dict.number_or("mscale_all_dim", 0);
  double attention = yarn_mscale(factor, 1);
  if (mscale != 0 && mscale_all_dim != 0) {
    attention = yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all_dim);
  }
  attention = dict.number_or("attention_factor", attention);
  metadata.push_back({prefix + "type", std::string("yarn")});
  metadata.push_back({prefix + "factor", static_cast<float>(factor)});
  metadata.push_back({prefix + "original_context_length",
                      static_cast<uint32_t>(dict.require_int("original_max_position_embeddings"))});
  metadata.push_back({prefix + "yarn_beta_fast", static_cast<float>(beta_fast == 0 ? 32 : beta_fast)});
  metadata.push_back({prefix + "yarn_beta_slow", static_cast<float>(beta_slow == 0 ? 1 : beta_slow)});
  if (architecture.name == "deepseek2") {
    if (mscale_all_dim == 0 || attention != 1) {
      dict.unsupported("mscale_all_dim", "GGUF's deepseek2 has YaRN only with mscale = mscale_all_dim, and not 0");
    }
    metadata.push_back({prefix + "yarn_log_multiplier", static_cast<float>(0.1 * mscale_all_dim)});
  } else if (const double ratio = attention / yarn_mscale(factor, 1); ratio != 1) {
    metadata.push_back({prefix + "yarn_attn_factor", static_cast<float>(ratio)});
  }
}

}  // namespace

std::vector<float> llama3_divisors(const Llama3Rope& rope, double rope_theta, int64_t head_dim) {
  std::vector<float> divisors;
  const double original = rope.original_max_position_embeddings;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double wavelength = 2 * std::numbers::pi * std::pow(rope_theta, exponent);
    double divisor = 1;
    if (wavelength > original / rope.low_freq_factor) {
      divisor = rope.factor;
    } else if (wavelength >= original / rope.high_freq_factor) {
      const double smooth =
          (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      divisor = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

Json rope_parameters_of(const GgufMetadata& metadata, const GgufArchitecture& architecture,
                        const GgufTensorFacts& facts, int64_t head_dim, int64_t rotated) {
  const std::string prefix = fmt::format("{}.rope.", architecture.name);
  Json out = Json::object();
  const double rope_theta = metadata.number(prefix + "freq_base").value_or(10000);
  out["rope_theta"] = rope_theta;
  out["partial_rotary_factor"] = static_cast<double>(rotated) / static_cast<double>(head_dim);
  const auto type = metadata.text(prefix + "scaling.type").value_or("none");
  if (metadata.has(prefix + "dimension_sections")) {
    unsupported(metadata, prefix + "dimension_sections", "models with vision are not supported");
  }
  if (!facts.rope_freqs.empty()) {
    if (type != "none") unsupported(metadata, prefix + "scaling.type", "not supported beside rope_freqs.weight");
    read_llama3(metadata, architecture, facts.rope_freqs, head_dim, rope_theta, out);
    return out;
  }
  if (type == "none") {
    // Older files have a linear factor without a type.
    const double linear = metadata.number(prefix + "scale_linear").value_or(1);
    out["rope_type"] = linear == 1 ? "default" : "linear";
    if (linear != 1) out["factor"] = linear;
  } else if (type == "linear") {
    out["rope_type"] = "linear";
    out["factor"] = metadata.require_number(prefix + "scaling.factor");
  } else if (type == "yarn") {
    out["rope_type"] = "yarn";
    read_yarn(metadata, architecture, out);
  } else {
    unsupported(metadata, prefix + "scaling.type", "known are none, linear and yarn");
  }
  return out;
}

RopeFields rope_fields_of(const Json& config, double partial_rotary_factor, std::string_view source) {
  const JsonFields top(config, source);
  RopeFields rope;
  std::string prefix = "rope_parameters.";
  if (const Json* scaling = top.find("rope_scaling"); scaling != nullptr && !scaling->empty()) {
    rope.dict = *scaling;
    prefix = "rope_scaling.";
  } else if (const Json* parameters = top.find("rope_parameters"); parameters != nullptr) {
    rope.dict = *parameters;
  }
  const JsonFields dict(rope.dict, source, prefix);
  const auto number = [&](std::string_view field, double fallback) {
    return dict.number_or(field, top.number_or(field, fallback));
  };
  rope.rope_theta = number("rope_theta", 10000);
  rope.partial_rotary_factor =
      number("partial_rotary_factor", top.has_null("partial_rotary_factor") ? 1.0 : partial_rotary_factor);
  for (const char* field : {"type", "rope_type"}) {
    if (dict.find(field) != nullptr) rope.rope_type = dict.require_text(field);
  }
  constexpr const char* kOriginal = "original_max_position_embeddings";
  if (top.find(kOriginal) != nullptr) {
    rope.dict[kOriginal] = top.require_int(kOriginal);
  } else if (dict.find(kOriginal) == nullptr) {
    rope.dict[kOriginal] = top.require_int("max_position_embeddings");
  }
  if (rope.rope_type == "yarn" && dict.has_null("factor")) {
    const JsonFields full(rope.dict, source, prefix);
    rope.dict["factor"] = static_cast<double>(top.require_int("max_position_embeddings")) /
                          static_cast<double>(full.require_int(kOriginal));
  }
  return rope;
}

Llama3Rope llama3_rope_of(const RopeFields& rope, std::string_view source) {
  const JsonFields dict(rope.dict, source, "rope_parameters.");
  return {
      .factor = dict.require_number("factor"),
      .low_freq_factor = dict.require_number("low_freq_factor"),
      .high_freq_factor = dict.require_number("high_freq_factor"),
      .original_max_position_embeddings = static_cast<double>(dict.require_int("original_max_position_embeddings"))};
}

void add_rope_metadata(const RopeFields& rope, const GgufArchitecture& architecture, std::string_view source,
                       std::vector<GgufKeyValue>& metadata) {
  const std::string prefix = fmt::format("{}.rope.", architecture.name);
  metadata.push_back({prefix + "freq_base", static_cast<float>(rope.rope_theta)});
  const JsonFields dict(rope.dict, source, "rope_parameters.");
  if (rope.rope_type == "default") return;
  if (rope.rope_type == "linear") {
    if (dict.number_or("mscale_all_dim", 0) != 0) {
      dict.unsupported("mscale_all_dim", "GGUF has it with YaRN only");
    }
    metadata.push_back({prefix + "scaling.type", std::string("linear")});
    metadata.push_back({prefix + "scaling.factor", static_cast<float>(dict.require_number("factor"))});
  } else if (rope.rope_type == "yarn") {
    add_yarn(rope, architecture, source, metadata);
  } else if (rope.rope_type == "llama3" && architecture.name == "llama") {
    const Llama3Rope llama3 = llama3_rope_of(rope, source);
    metadata.push_back(
        {prefix + "scaling.original_context_length", static_cast<uint32_t>(llama3.original_max_position_embeddings)});
    metadata.push_back({prefix + "scaling.llama3.factor", static_cast<float>(llama3.factor)});
    metadata.push_back({prefix + "scaling.llama3.low_freq_factor", static_cast<float>(llama3.low_freq_factor)});
    metadata.push_back({prefix + "scaling.llama3.high_freq_factor", static_cast<float>(llama3.high_freq_factor)});
  } else {
    dict.unsupported("rope_type", "GGUF has no words for it");
  }
}

}  // namespace glimmer
