// Every operation of every table against the reference: sizes around each tile's edge, strides. For products with
// weights, see layout_parity_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"
#include "kernels/kernel_table.h"

namespace glimmer::kernels {
namespace {

const KernelTable& reference() { return table_by_name("ref"); }

class Parity : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }

  std::vector<float> random(int64_t count, float scale = 1.0F) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = (static_cast<float>(rng_() >> 8) / (1 << 23) - 1.0F) * scale;
    return values;
  }

  // Compares all of both arrays, so that a write outside the result shows; reports the first bad place.
  static void expect_near(const std::vector<float>& got, const std::vector<float>& want, float tolerance,
                          const std::string& what) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      if (!(std::abs(got[i] - want[i]) <= tolerance)) {
        ADD_FAILURE() << what << ": at " << i << " of " << got.size() << ": got " << got[i] << ", want " << want[i];
        return;
      }
    }
  }

  std::mt19937 rng_{7};
};

TEST_P(Parity, WeightedSum) {
  for (const int64_t rows_a_step : {1, 3}) {
    for (const int64_t T : {1, 2, 3, 4, 5, 7}) {
      for (const int64_t D : {1, 7, 8, 16, 17, 31, 64, 65, 130}) {
        for (const int64_t first_count : {1, 2, 40}) {
          const int64_t most = first_count + (T - 1) / rows_a_step;
          const std::vector<float> p = random(T * (most + 1));
          const std::vector<float> v = random(most * (D + 2));
          const std::vector<float> before = random(T * (D + 1));
          std::vector<float> got = before;
          std::vector<float> want = before;
          WeightedSum args{.p = p.data(),
                           .p_stride = most + 1,
                           .v = v.data(),
                           .v_stride = D + 2,
                           .y = got.data(),
                           .y_stride = D + 1,
                           .T = T,
                           .D = D,
                           .first_count = first_count,
                           .rows_a_step = rows_a_step};
          table().weighted_sum(args);
          args.y = want.data();
          reference().weighted_sum(args);
          expect_near(got, want, 2e-5F, fmt::format("T {} D {} counts {} + t / {}", T, D, first_count, rows_a_step));
        }
      }
    }
  }
}

TEST_P(Parity, RmsNorm) {
  for (const int64_t n : {1, 7, 8, 16, 17, 64, 250, 4096}) {
    const std::vector<float> x = random(n, 3);
    const std::vector<float> weight = random(n);
    std::vector<float> got(n + 1, 5.0F);
    std::vector<float> want = got;
    table().rms_norm(x.data(), weight.data(), 1e-5F, n, got.data());
    reference().rms_norm(x.data(), weight.data(), 1e-5F, n, want.data());
    expect_near(got, want, 3e-6F, fmt::format("n {}", n));
  }
}

TEST_P(Parity, Softmax) {
  for (const float scale : {0.125F, 1.0F}) {
    for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 100, 1000}) {
      std::vector<float> got = random(n + 1, 60);
      std::vector<float> want = got;
      table().softmax(got.data(), scale, n);
      reference().softmax(want.data(), scale, n);
      expect_near(got, want, 1e-6F, fmt::format("n {} scale {}", n, scale));
    }
  }
}

TEST_P(Parity, SoftmaxOfScoresFarApart) {
  std::vector<float> got = {-1e30F, 0.0F, -200.0F, -88.0F, 1e-30F};
  std::vector<float> want = got;
  table().softmax(got.data(), 1.0F, static_cast<int64_t>(got.size()));
  reference().softmax(want.data(), 1.0F, static_cast<int64_t>(want.size()));
  expect_near(got, want, 1e-6F, "far apart");
}

TEST_P(Parity, SiluMul) {
  for (const int64_t n : {1, 7, 8, 16, 17, 300}) {
    for (const float scale : {1.0F, 20.0F, 300.0F}) {
      const std::vector<float> gate = random(n, scale);
      const std::vector<float> up = random(n);
      std::vector<float> got(n + 1, 5.0F);
      std::vector<float> want = got;
      table().silu_mul(gate.data(), up.data(), n, got.data());
      reference().silu_mul(gate.data(), up.data(), n, want.data());
      expect_near(got, want, 1e-6F * scale, fmt::format("n {} scale {}", n, scale));
    }
  }
}

TEST_P(Parity, AddScaled) {
  for (const int64_t n : {1, 7, 8, 16, 17, 300}) {
    const std::vector<float> x = random(n);
    std::vector<float> got = random(n + 1);
    std::vector<float> want = got;
    table().add_scaled(x.data(), 0.75F, n, got.data());
    reference().add_scaled(x.data(), 0.75F, n, want.data());
    expect_near(got, want, 1e-6F, fmt::format("n {}", n));
  }
}

TEST_P(Parity, RopeInBothPairings) {
  for (const int64_t pairs : {1, 3, 8, 32}) {
    for (const bool interleaved : {false, true}) {
      const std::vector<float> cos = random(pairs);
      const std::vector<float> sin = random(pairs);
      std::vector<float> got = random(2 * pairs + 4);
      std::vector<float> want = got;
      Rope args{.x = got.data(),
                .cos = cos.data(),
                .sin = sin.data(),
                .pairs = pairs,
                .step = interleaved ? 2 : 1,
                .second_offset = interleaved ? 1 : pairs};
      table().rope(args);
      args.x = want.data();
      reference().rope(args);
      expect_near(got, want, 1e-6F, fmt::format("pairs {}", pairs));
    }
  }
}

std::vector<const KernelTable*> supported_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : all_tables()) {
    if (table->supported()) tables.push_back(table);
  }
  return tables;
}

INSTANTIATE_TEST_SUITE_P(Tables, Parity, ::testing::ValuesIn(supported_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

TEST(Dispatch, NamesAreKnownAndUnknownOnesListThem) {
  EXPECT_EQ(table_by_name("ref").name, "ref");
  EXPECT_TRUE(best_table().supported());
  try {
    table_by_name("sse9");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("known: ref"), std::string::npos) << error.what();
  }
}

TEST(Reference, LinearIsTheDefinition) {
  const std::vector<float> x = {1, 2, 3, 4};
  const std::vector<float> w = {1, 0, 0, 1, 1, 1};
  const std::vector<float> bias = {10, 20, 30};
  std::vector<float> y(6);
  reference().linear({.x = x.data(),
                      .x_stride = 2,
                      .w = {.layout = {.codes = WeightCodes::kF32},
                            .columns = 2,
                            .codes = reinterpret_cast<const std::byte*>(w.data()),
                            .code_row_bytes = 8},
                      .bias = bias.data(),
                      .y = y.data(),
                      .y_stride = 3,
                      .T = 2},
                     0, 3);
  EXPECT_EQ(y, (std::vector<float>{11, 22, 33, 13, 24, 37}));
}

}  // namespace
}  // namespace glimmer::kernels
