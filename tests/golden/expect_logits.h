// A model file held to the logits that transformers gave for the same weights.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <vector>

#include "format/safetensors.h"
#include "model/forward.h"
#include "model/kv_cache.h"

namespace glimmer::testing {

inline const TensorInfo& require(const SafetensorsFile& file, std::string_view name) {
  const TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) throw std::runtime_error("no " + std::string(name));
  return *tensor;
}

// `golden_path` holds "input_ids" and "logits". The largest error, as a part of the largest logit, is at most
// `tolerance`; computed by the reference kernels.
inline void expect_logits(const std::filesystem::path& model_path, const std::filesystem::path& golden_path,
                          float tolerance) {
  const SafetensorsFile golden(golden_path);
  const TensorInfo& input = require(golden, "input_ids");
  const TensorInfo& expected = require(golden, "logits");
  std::vector<int32_t> ids(static_cast<size_t>(input.shape.element_count()));
  std::memcpy(ids.data(), input.data.data(), input.data.size());
  const Model model = Model::load(model_path);
  Context context({.backend = "ref", .threads = 2, .precision = Precision::kExact});
  Forward forward(model, context);
  KvCache kv(model.config());
  const ConstTensorView logits = forward.run(ids, kv, LogitsFor::kAllTokens);
  ASSERT_EQ(logits.shape, expected.shape);
  float largest = 0;
  float error = 0;
  for (int64_t i = 0; i < logits.shape.element_count(); ++i) {
    float value;
    std::memcpy(&value, expected.data.data() + 4 * i, sizeof value);
    largest = std::max(largest, std::abs(value));
    const float difference = std::abs(logits.as<float>()[i] - value);
    error = difference <= error ? error : difference;  // NaN counts as the largest
  }
  EXPECT_LE(error, tolerance * largest);
}

}  // namespace glimmer::testing
