// Every operation, in several shapes and weight types, on every device against the reference kernels in exact
// precision. A new device is a line in open_named(); a new operation must have a case here, or EveryOperationHasACase
// fails.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "comm/threads.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/gather.h"
#include "ops/mla.h"
#include "ops/moe.h"
#include "ops/op_table.h"
#include "ops/rope.h"
#include "support/fenced_device.h"
#include "support/random_weights.h"

namespace glimmer {
namespace {

using testing::random_values;
using testing::RandomWeights;

std::unique_ptr<Device> open_named(const std::string& name) {
  if (name == "fenced") return std::make_unique<testing::FencedDevice>(DeviceOptions{.threads = 2});
  return open_device({.backend = name, .threads = 2});
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (table->supported()) names.emplace_back(table->name);
  }
  names.emplace_back("fenced");
  return names;
}

// A device, a pass on it, and tensors in its memory.
class Bench {
 public:
  Bench(const std::string& name, Precision precision)
      : device_(open_named(name)), context_(*device_, precision, kv_type_of(precision)), weights_(device_->memory()) {}

  Context& context() { return context_; }
  Device& device() { return *device_; }
  RandomWeights& weights() { return weights_; }

  TensorView tensor(const Shape& shape, DType dtype = DType::kF32) {
    return tensors_.emplace_back(device_->memory(), dtype, shape).view();
  }
  template <typename T>
  TensorView put(const Shape& shape, const std::vector<T>& values, DType dtype) {
    const TensorView view = tensor(shape, dtype);
    device_->memory().write(static_cast<std::byte*>(view.data), std::as_bytes(std::span(values)));
    return view;
  }
  // The same values on every device.
  TensorView random(const Shape& shape, unsigned seed) {
    std::mt19937 rng(seed);
    return put(shape, random_values(rng, shape.element_count()), DType::kF32);
  }
  std::vector<float> get(ConstTensorView view) {
    std::vector<float> values(static_cast<size_t>(view.shape.element_count()));
    device_->memory().read(static_cast<const std::byte*>(view.data), std::as_writable_bytes(std::span(values)));
    return values;
  }

 private:
  std::unique_ptr<Device> device_;
  Context context_;
  RandomWeights weights_;
  std::deque<Tensor> tensors_;
};

constexpr double kExactTolerance = 2e-5;

struct Case {
  std::string operation;
  std::string what;
  std::function<std::vector<float>(Bench&)> run;
  double fast_tolerance = kExactTolerance;  // of the largest value: what 8 bits and bf16 lose
  double exact_tolerance = kExactTolerance;
};

const char* const kTypes[] = {"f32", "bf16", "f16", "q4_0", "q8_0", "q4_k", "q6_k", "mxfp4"};

double loss_of(const std::string& type) { return type == "f32" || type == "f16" ? kExactTolerance : 3e-2; }

void add_elementwise(std::vector<Case>& cases) {
  for (const int64_t columns : {8, 72, 2048}) {
    for (const int64_t rows : {1, 5}) {
      const std::string what = fmt::format("[{}, {}]", rows, columns);
      const Shape shape{rows, columns};
      cases.push_back({"add", what, [=](Bench& b) {
                         const TensorView into = b.random(shape, 2);
                         add_residual(b.context(), b.random(shape, 1), into);
                         return b.get(into);
                       }});
      cases.push_back({"rms_norm", what, [=](Bench& b) {
                         const TensorView out = b.tensor(shape);
                         rms_norm(b.context(), b.random(shape, 1), b.random({columns}, 2), 1e-5, out);
                         return b.get(out);
                       }});
      cases.push_back({"gather_rows", what, [=](Bench& b) {
                         const std::vector<int64_t> chosen = {6, 0, 3, 3, 2};
                         const TensorView out = b.tensor(shape);
                         gather_rows(b.context(), b.random({7, columns}, 1),
                                     std::span(chosen).first(static_cast<size_t>(rows)), out);
                         return b.get(out);
                       }});
    }
  }
  for (const char* type : kTypes) {
    cases.push_back({"embed", type, [=](Bench& b) {
                       const LinearWeight table = b.weights().linear(type, 40, 256);
                       const std::vector<int32_t> ids = {39, 0, 17};
                       const TensorView out = b.tensor({3, 256});
                       embed(b.context(), table.weight, ids, out);
                       return b.get(out);
                     }});
  }
}

// cos, sin, then the rotated heads.
std::vector<float> run_rope(Bench& b, RopePairing pairing, int64_t rotary_dim, bool rotates) {
  constexpr int64_t kTokens = 3;
  constexpr int64_t kHeads = 2;
  const int64_t head_dim = rotary_dim + 8;
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < rotary_dim / 2; ++i) inv_freq.push_back(1.0F / static_cast<float>(1 + i * i));
  const std::vector<int32_t> positions = {0, 7, 4000};
  const TensorView cos = b.tensor({kTokens, rotary_dim / 2});
  const TensorView sin = b.tensor({kTokens, rotary_dim / 2});
  fill_rope(b.context(), {.inv_freq = inv_freq,
                          .attention_factor = 1.1F,
                          .positions = positions,
                          .cos = cos.as<float>(),
                          .sin = sin.as<float>()});
  if (!rotates) {
    std::vector<float> both = b.get(cos);
    const std::vector<float> second = b.get(sin);
    both.insert(both.end(), second.begin(), second.end());
    return both;
  }
  const TensorView x = b.random({kTokens, kHeads * head_dim}, 1);
  rope(b.context(), {.table = {cos.as<float>(), sin.as<float>(), rotary_dim, pairing},
                     .x = x.as<float>(),
                     .tokens = kTokens,
                     .heads = kHeads,
                     .token_stride = kHeads * head_dim,
                     .head_stride = head_dim});
  return b.get(x);
}

void add_rope(std::vector<Case>& cases) {
  for (const int64_t dim : {4, 32, 64}) {
    const std::string what = fmt::format("{} dimensions", dim);
    cases.push_back({"fill_rope", what, [=](Bench& b) { return run_rope(b, RopePairing::kHalfSplit, dim, false); }});
    cases.push_back(
        {"rope", what + ", halves", [=](Bench& b) { return run_rope(b, RopePairing::kHalfSplit, dim, true); }});
    cases.push_back(
        {"rope", what + ", pairs", [=](Bench& b) { return run_rope(b, RopePairing::kInterleaved, dim, true); }});
  }
}

void add_linear(std::vector<Case>& cases) {
  struct Size {
    int64_t tokens, in, out;
  };
  for (const char* type : kTypes) {
    for (const Size size : {Size{1, 256, 16}, Size{3, 512, 40}, Size{33, 1024, 130}}) {
      cases.push_back({"linear", fmt::format("{} [{}, {}], {} tokens", type, size.out, size.in, size.tokens),
                       [=](Bench& b) {
                         const LinearWeight weight = b.weights().linear(type, size.out, size.in);
                         const TensorView y = b.tensor({size.tokens, size.out});
                         linear(b.context(), weight, b.random({size.tokens, size.in}, 1), y);
                         return b.get(y);
                       },
                       loss_of(type)});
    }
    for (const int64_t tokens : {1, 9}) {
      cases.push_back({"mlps", fmt::format("{}, {} tokens", type, tokens),
                       [=](Bench& b) {
                         const MlpWeights w{.gate_proj = b.weights().linear(type, 256, 512),
                                            .up_proj = b.weights().linear(type, 256, 512),
                                            .down_proj = b.weights().linear(type, 512, 256)};
                         const TensorView out = b.tensor({tokens, 512});
                         const MlpCall call{.weights = &w, .count = tokens, .out = out.as<float>()};
                         mlps(b.context(), {&call, 1}, b.random({tokens, 512}, 1));
                         return b.get(out);
                       },
                       loss_of(type)});
      cases.push_back({"moe", fmt::format("{}, {} tokens", type, tokens),
                       [=](Bench& b) {
                         std::vector<MlpWeights> experts;
                         for (int e = 0; e < 5; ++e) {
                           experts.push_back({.gate_proj = b.weights().linear(type, 256, 256),
                                              .up_proj = b.weights().linear(type, 256, 256),
                                              .down_proj = b.weights().linear(type, 256, 256)});
                         }
                         std::vector<int32_t> chosen;
                         for (int64_t t = 0; t < tokens; ++t) {
                           chosen.push_back(static_cast<int32_t>(t % 4));
                           chosen.push_back(4);
                         }
                         const TensorView out = b.tensor({tokens, 256});
                         moe_experts(b.context(), {.experts = std::span(experts).first(5),
                                                   .shared_experts = &experts.front(),
                                                   .x = b.random({tokens, 256}, 1),
                                                   .weights = b.random({tokens, 2}, 2),
                                                   .chosen = b.put(Shape{tokens, 2}, chosen, DType::kI32),
                                                   .out = out});
                         return b.get(out);
                       },
                       loss_of(type)});
    }
  }
  cases.push_back({"route", "12 experts in 3 groups", [](Bench& b) {
                     const TensorView weights = b.tensor({4, 3});
                     const TensorView experts = b.tensor({4, 3}, DType::kI32);
                     moe_route(b.context(), {.rule = {.n_routed_experts = 12,
                                                      .num_experts_per_tok = 3,
                                                      .n_group = 3,
                                                      .topk_group = 2,
                                                      .routed_scaling_factor = 1.5F},
                                             .logits = b.random({4, 12}, 1),
                                             .bias = b.random({12}, 2),
                                             .weights = weights,
                                             .experts = experts});
                     std::vector<float> out = b.get(weights);
                     std::vector<int32_t> ids(12);
                     b.device().memory().read(static_cast<const std::byte*>(experts.data),
                                              std::as_writable_bytes(std::span(ids)));
                     out.insert(out.end(), ids.begin(), ids.end());
                     return out;
                   }});
}

// A sequence's pages in a memory that has keys and values of `layout`.
struct Pages {
  Pages(Bench& b, const KvLayout& layout, int64_t tokens)
      : memory(b.device().memory(), layout, 1, 4), ids((static_cast<size_t>(tokens) + 255) / 256) {
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<PageId>(3 - i);
      memory.provide(ids[i]);
    }
    for (int64_t t = 0; t < tokens; ++t) {
      batch.tokens.push_back(0);
      batch.positions.push_back(static_cast<int32_t>(t));
    }
    batch.sequences.push_back({.first_row = 0, .tokens = tokens, .past_tokens = 0, .pages = ids});
  }

  KvMemory memory;
  std::vector<PageId> ids;
  Batch batch;
};

std::vector<float> run_attention(Bench& b, KvType type, int64_t tokens) {
  constexpr int64_t kHeads = 4;
  constexpr int64_t kKvHeads = 2;
  constexpr int64_t kDim = 64;
  Pages pages(b, {.type = type, .kv_heads = kKvHeads, .qk_dim = kDim, .v_dim = kDim}, tokens);
  const KvLayer kv = pages.memory.layer(0);
  store_kv(b.context(), {.k = b.random({tokens, kKvHeads * kDim}, 1).as<float>(),
                         .k_stride = kKvHeads * kDim,
                         .v = b.random({tokens, kKvHeads * kDim}, 2).as<float>(),
                         .v_stride = kKvHeads * kDim,
                         .batch = &pages.batch,
                         .kv = kv});
  const TensorView out = b.tensor({tokens, kHeads * kDim});
  attention(b.context(), {.q = b.random({tokens, kHeads * kDim}, 3).as<float>(),
                          .q_token_stride = kHeads * kDim,
                          .q_head_stride = kDim,
                          .out = out.as<float>(),
                          .out_token_stride = kHeads * kDim,
                          .out_head_stride = kDim,
                          .heads = kHeads,
                          .scale = 0.2F,
                          .batch = &pages.batch,
                          .kv = kv});
  return b.get(out);
}

std::vector<float> run_mla(Bench& b, const char* type, int64_t tokens) {
  constexpr int64_t kHeads = 3;
  constexpr int64_t kNope = 32;
  constexpr int64_t kRope = 16;
  constexpr int64_t kLatent = 64;
  constexpr int64_t kV = 32;
  constexpr int64_t kHidden = 96;
  Pages pages(
      b, {.type = KvType::kF32, .kv_heads = 1, .qk_dim = kLatent + kRope, .v_dim = kLatent, .values_in_keys = true},
      tokens);
  const KvLayer kv = pages.memory.layer(0);
  store_kv(b.context(), {.k = b.random({tokens, kLatent + kRope}, 1).as<float>(),
                         .k_stride = kLatent + kRope,
                         .batch = &pages.batch,
                         .kv = kv});
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < kRope / 2; ++i) inv_freq.push_back(1.0F / static_cast<float>(1 + i));
  const TensorView cos = b.tensor({tokens, kRope / 2});
  const TensorView sin = b.tensor({tokens, kRope / 2});
  fill_rope(b.context(),
            {.inv_freq = inv_freq, .positions = pages.batch.positions, .cos = cos.as<float>(), .sin = sin.as<float>()});
  const LinearWeight q_proj = b.weights().linear(type, kHeads * (kNope + kRope), 64);
  std::vector<LinearWeight> k_b;
  std::vector<LinearWeight> v_b;
  for (int64_t h = 0; h < kHeads; ++h) {
    k_b.push_back(b.weights().linear("f32", kLatent, kNope));
    v_b.push_back(b.weights().linear(type, kV, kLatent));
  }
  const LinearWeight o_proj = b.weights().linear(type, kHidden, kHeads * kV);
  const TensorView out = b.tensor({tokens, kHidden});
  mla_attention(b.context(), {.q_proj = &q_proj,
                              .k_b = k_b,
                              .v_b = v_b,
                              .o_proj = &o_proj,
                              .x = b.random({tokens, 64}, 2),
                              .out = out,
                              .rope = {cos.as<float>(), sin.as<float>(), kRope, RopePairing::kInterleaved},
                              .scale = 0.2F,
                              .batch = &pages.batch,
                              .kv = kv});
  return b.get(out);
}

// Rank 0's rows of what two ranks hold halves of.
std::vector<float> run_gather(Bench& b, int64_t rows) {
  const std::vector<Range> of_rank = {{0, 3}, {3, 10}};
  std::vector<TensorView> halves = {b.random({rows, 10}, 1), b.random({rows, 10}, 2)};
  comm::run_ranks(2, [&](comm::Group& group) {
    Context context(b.device(), b.context().precision(), KvType::kF32, group);
    const RowCut cut{.rank = group.rank(), .of_rank = of_rank, .rows = 10};
    gather_columns(context, {.cut = &cut, .x = halves[static_cast<size_t>(group.rank())], .exchange = {"test"}});
  });
  EXPECT_EQ(b.get(halves[0]), b.get(halves[1]));
  return b.get(halves[0]);
}

void add_attention(std::vector<Case>& cases) {
  for (const int64_t tokens : {1, 20, 300}) {
    for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kInt8, KvType::kF8E4M3}) {
      const std::string what = fmt::format("{}, {} tokens", kv_type_name(type), tokens);
      for (const char* operation : {"store_kv", "attention"}) {
        // Queries are rounded to what keys are, in any precision (docs/numerics.md).
        const double tolerance = type == KvType::kF32 ? kExactTolerance : 2e-2;
        cases.push_back(
            {operation, what, [=](Bench& b) { return run_attention(b, type, tokens); }, tolerance, tolerance});
      }
    }
    for (const char* type : {"f32", "bf16", "q8_0", "q4_0"}) {
      cases.push_back({"mla", fmt::format("{}, {} tokens", type, tokens),
                       [=](Bench& b) { return run_mla(b, type, tokens); }, 2 * loss_of(type)});  // of three in a row
    }
  }
  for (const int64_t rows : {1, 4}) {
    cases.push_back({"gather_columns", fmt::format("{} rows", rows), [=](Bench& b) { return run_gather(b, rows); }});
  }
}

const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all;
    add_elementwise(all);
    add_rope(all);
    add_linear(all);
    add_attention(all);
    return all;
  }();
  return cases;
}

// The largest |a - b| as a part of the largest |b|.
double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0;
  double size = 1e-20;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(error <= most)) most = error;  // NaN counts as the largest
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return most / size;
}

// Of the case of this index.
const std::vector<float>& expected_of(size_t index) {
  static std::map<size_t, std::vector<float>> known;
  const auto [found, is_new] = known.try_emplace(index);
  if (is_new) {
    Bench reference("ref", Precision::kExact);
    found->second = all_cases()[index].run(reference);
  }
  return found->second;
}

class OpParity : public ::testing::TestWithParam<std::string> {};

TEST_P(OpParity, EqualsTheReference) {
  for (size_t i = 0; i < all_cases().size(); ++i) {
    const Case& c = all_cases()[i];
    const std::vector<float>& expected = expected_of(i);
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      Bench bench(GetParam(), precision);
      const double tolerance = precision == Precision::kExact ? c.exact_tolerance : c.fast_tolerance;
      EXPECT_LE(relative_error(c.run(bench), expected), tolerance)
          << c.operation << ", " << c.what << ", " << precision_name(precision);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, OpParity, ::testing::ValuesIn(device_names()),
                         [](const auto& test) { return test.param; });

TEST(OpParity, EveryOperationHasACase) {
  std::set<std::string> operations;
  for (const Case& c : all_cases()) operations.insert(c.operation);
  EXPECT_EQ(operations.size(), sizeof(OpTable) / sizeof(void (*)()));
}

}  // namespace
}  // namespace glimmer
