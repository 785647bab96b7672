#include "apps/inspect_kernels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>
#include <vector>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace glimmer::apps {
namespace {

using kernels::KernelTable;

struct Operation {
  const char* name;
  bool (*same)(const KernelTable& a, const KernelTable& b);  // whether both tables hold the same function
};

template <auto Member>
bool same_function(const KernelTable& a, const KernelTable& b) {
  return a.*Member == b.*Member;
}

constexpr std::array<Operation, 8> kOperations = {{
    {"linear", same_function<&KernelTable::linear>},
    {"attention_queries", same_function<&KernelTable::attention_queries>},
    {"attention_block", same_function<&KernelTable::attention_block>},
    {"attention_fold", same_function<&KernelTable::attention_fold>},
    {"rms_norm", same_function<&KernelTable::rms_norm>},
    {"silu_mul", same_function<&KernelTable::silu_mul>},
    {"weighted_sum", same_function<&KernelTable::weighted_sum>},
    {"rope", same_function<&KernelTable::rope>},
}};

// The table that the function comes from: the first, slowest first, that holds it. A table borrows what it does not
// speed up.
std::string_view origin(const Operation& operation, const KernelTable& chosen) {
  for (const KernelTable* table : kernels::all_tables()) {
    if (operation.same(*table, chosen)) return table->name;
  }
  return chosen.name;
}

const KernelTable& chosen_table(const std::string& backend) {
  return backend.empty() ? kernels::best_table() : kernels::table_by_name(backend);
}

std::string why(const std::string& backend) {
  return backend.empty() ? "the fastest that this processor supports" : "asked for by --backend";
}

}  // namespace

std::string kernels_text(const std::string& backend) {
  const KernelTable& chosen = chosen_table(backend);
  std::string out = fmt::format("processor  {}\n", cpu_features().model_name);
  out += fmt::format("features   {}\n", fmt::join(cpu_features().names, " "));
  out += fmt::format("threads    {}\n\ntables\n", available_threads());
  for (const KernelTable* table : kernels::all_tables()) {
    out += fmt::format("  {:<11} {:<13} needs {}\n", table->name, table->supported() ? "supported" : "not supported",
                       table->requires_cpu);
  }
  out += fmt::format("\nchosen     {}: {}\n\noperations\n", chosen.name, why(backend));
  for (const Operation& operation : kOperations) {
    const std::string_view from = origin(operation, chosen);
    out += fmt::format("  {:<13} {}{}\n", operation.name, from,
                       from == chosen.name ? "" : fmt::format(" ({} has none of its own)", chosen.name));
  }
  return out;
}

Json kernels_json(const std::string& backend) {
  const KernelTable& chosen = chosen_table(backend);
  Json out = {
      {"processor", cpu_features().model_name}, {"features", cpu_features().names}, {"threads", available_threads()}};
  for (const KernelTable* table : kernels::all_tables()) {
    out["tables"].push_back({{"name", table->name}, {"supported", table->supported()}, {"needs", table->requires_cpu}});
  }
  out["chosen"] = chosen.name;
  out["why"] = why(backend);
  for (const Operation& operation : kOperations) out["operations"][operation.name] = origin(operation, chosen);
  return out;
}

}  // namespace glimmer::apps
