// The CPU as a device: a kernel table, a thread pool, and scratch memory that operations reuse from call to call.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"
#include "ops/context.h"
#include "ops/device.h"
#include "ops/mlp.h"
#include "tensor/buffer.h"

namespace glimmer::cpu {

// Scratch memory, one struct per operation. Buffers grow to the largest call so far.
struct MlpWorkspace {
  Buffer encoded;   // x in each type that a matmul reads
  Buffer gathered;  // its rows, gathered in the order of the calls
  Buffer gate;      // matmul outputs in f32
  Buffer up;
  Buffer acts;  // input of down_proj
};

struct MoeWorkspace {
  Buffer down;                     // the networks' outputs, expert by expert, then the shared expert
  std::vector<int32_t> slot_row;   // [tokens * num_experts_per_tok]: row of `down` that holds (token, k)
  std::vector<int32_t> row_token;  // the token of each such row
  std::vector<int64_t> first_row;  // [n_routed_experts + 1]: rows of each expert
  std::vector<MlpCall> calls;
  std::vector<const float*> summed_rows;  // [threads, num_experts_per_tok + 1]
  std::vector<float> summed_weights;
};

struct MlaWorkspace {
  Buffer q;           // [tokens, heads, qk_head_dim] f32
  Buffer query;       // [tokens, heads, kv_lora_rank + qk_rope_head_dim] f32, or bf16 [heads, tokens, ..]
  Buffer latent_out;  // [tokens, heads, kv_lora_rank] f32
  Buffer attn;        // [tokens, heads, v_head_dim] f32
  // Inputs of k_b and v_b (by head) and of o_proj, where those read another type than f32.
  Buffer q_nope_encoded;
  Buffer latent_out_encoded;
  Buffer attn_encoded;
};

class CpuDevice : public Device {
 public:
  explicit CpuDevice(const DeviceOptions& options);  // throws as open_device

  std::string_view name() const override { return "cpu"; }
  std::string_view backend() const override { return kernels_.name; }
  const OpTable& ops() const override;
  Memory& memory() override { return host_memory(); }
  ThreadPool& host_threads() override { return pool_; }
  const Topology& topology() const override { return topology_; }

  const kernels::KernelTable& kernels() const { return kernels_; }
  ThreadPool& pool() { return pool_; }

  // Per-thread scratch for a parallel loop. Reserved before the loop, since a loop body must not throw.
  void reserve_scratch(int64_t count);  // at least `count` floats per thread; contents are lost
  float* scratch(int worker) { return scratch_[static_cast<size_t>(worker)].as<float>(); }
  // Scratch shared by the threads of one operation, valid until the next call.
  std::byte* shared_scratch(int64_t size_bytes);

  MlpWorkspace& mlp_workspace() { return mlp_; }
  MoeWorkspace& moe_workspace() { return moe_; }
  MlaWorkspace& mla_workspace() { return mla_; }

 private:
  const kernels::KernelTable& kernels_;
  Topology topology_;
  ThreadPool pool_;
  std::vector<Buffer> scratch_;
  Buffer shared_scratch_;
  MlpWorkspace mlp_;
  MoeWorkspace moe_;
  MlaWorkspace mla_;
};

// At least `size_bytes` of `buffer`; growing it loses its contents.
std::byte* at_least(Buffer& buffer, int64_t size_bytes);

// What the bodies of CPU operations work with: the pass's context and its CpuDevice.
class Pass {
 public:
  explicit Pass(Context& context);  // whose device must be a CpuDevice

  Context& context() { return context_; }
  CpuDevice& device() { return device_; }
  const kernels::KernelTable& kernels() const { return device_.kernels(); }
  ThreadPool& pool() { return device_.pool(); }
  void reserve_scratch(int64_t count) { device_.reserve_scratch(count); }
  float* scratch(int worker) { return device_.scratch(worker); }
  std::byte* shared_scratch(int64_t size_bytes) { return device_.shared_scratch(size_bytes); }

  bool exact() const { return context_.precision() == Precision::kExact; }
  // Type of a matmul's left operand for weights of this layout.
  kernels::ActivationType activation_type(const WeightLayout& layout) const {
    return exact() ? kernels::ActivationType::kF32 : kernels().fast_activations(layout);
  }

 private:
  Context& context_;
  CpuDevice& device_;
};

}  // namespace glimmer::cpu
