// The elementwise operations of every table against the reference: sizes around a vector's edge. For products with
// weights, see layout_parity_test.cc and ref_linear_test.cc.
#include <gtest/gtest.h>

#include <array>
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

TEST_P(Parity, WeightedSum) {
  constexpr std::array kWeights = {0.75F, -2.0F, 1.0F, 0.25F, 1.5F};
  for (const int64_t n : {1, 7, 8, 16, 17, 64, 300}) {
    for (int64_t count = 1; count <= 5; ++count) {
      std::vector<std::vector<float>> values;
      std::vector<const float*> rows;
      for (int64_t r = 0; r < count; ++r) rows.push_back(values.emplace_back(random(n)).data());
      std::vector<float> got(n + 1, 5.0F);
      std::vector<float> want = got;
      table().weighted_sum(rows.data(), kWeights.data(), count, n, got.data());
      reference().weighted_sum(rows.data(), kWeights.data(), count, n, want.data());
      expect_near(got, want, 2e-6F, fmt::format("n {} rows {}", n, count));
      // In place, and to the same bits.
      table().weighted_sum(rows.data(), kWeights.data(), count, n, values[0].data());
      got.pop_back();
      EXPECT_EQ(values[0], got) << fmt::format("n {} rows {}", n, count);
    }
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

}  // namespace
}  // namespace glimmer::kernels
