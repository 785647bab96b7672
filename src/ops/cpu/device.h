// The processor as a device: a kernel table, a pool of threads, and memory that operations reuse from call to call.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"
#include "ops/context.h"
#include "ops/device.h"
#include "ops/mlp.h"
#include "tensor/buffer.h"

namespace glimmer::cpu {

// Memory of one operation each, which grows to what the largest call has needed.
struct MlpWorkspace {
  Buffer encoded;   // x in each type that a matmul reads
  Buffer gathered;  // rows of that, in the order of the calls
  Buffer gate;      // what a matmul left in f32
  Buffer up;
  Buffer acts;  // what down_proj reads
};

struct MoeWorkspace {
  Buffer down;                     // what each network says of its tokens, expert by expert, then the shared one
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
  // By heads, what k_b and v_b read, and o_proj's input, where they read another type than f32.
  Buffer q_nope_encoded;
  Buffer latent_out_encoded;
  Buffer attn_encoded;
};

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const DeviceOptions& options);  // throws as open_device

  std::string_view name() const override { return "cpu"; }
  std::string_view backend() const override { return kernels_.name; }
  const OpTable& ops() const override;
  ThreadPool& host_threads() override { return pool_; }

  const kernels::KernelTable& kernels() const { return kernels_; }
  ThreadPool& pool() { return pool_; }

  // Memory of its own for each thread of a parallel loop: reserved before the loop, since its body must not throw.
  void reserve_scratch(int64_t count);  // at least `count` floats a thread; what they held is lost
  float* scratch(int worker) { return scratch_[static_cast<size_t>(worker)].as<float>(); }
  // Memory that an operation shares among its threads, until the next one asks for it.
  std::byte* shared_scratch(int64_t size_bytes);

  MlpWorkspace& mlp_workspace() { return mlp_; }
  MoeWorkspace& moe_workspace() { return moe_; }
  MlaWorkspace& mla_workspace() { return mla_; }

 private:
  const kernels::KernelTable& kernels_;
  ThreadPool pool_;
  std::vector<Buffer> scratch_;
  Buffer shared_scratch_;
  MlpWorkspace mlp_;
  MoeWorkspace moe_;
  MlaWorkspace mla_;
};

// At least so many bytes of `buffer`; what it held is lost where it grows.
std::byte* at_least(Buffer& buffer, int64_t size_bytes);

// What the bodies of operations are handed: the pass, and the processor that it runs on.
class Pass {
 public:
  explicit Pass(Context& context);  // of a CpuDevice

  Context& context() { return context_; }
  CpuDevice& device() { return device_; }
  const kernels::KernelTable& kernels() const { return device_.kernels(); }
  ThreadPool& pool() { return device_.pool(); }
  void reserve_scratch(int64_t count) { device_.reserve_scratch(count); }
  float* scratch(int worker) { return device_.scratch(worker); }
  std::byte* shared_scratch(int64_t size_bytes) { return device_.shared_scratch(size_bytes); }

  bool exact() const { return context_.precision() == Precision::kExact; }
  // Whether someone listens to what matmuls read, which they must then read as f32.
  bool observed() const { return static_cast<bool>(context_.linear_observer()); }
  // What a matmul with weights of this layout reads on its left side.
  kernels::ActivationType activation_type(const WeightLayout& layout) const {
    return exact() ? kernels::ActivationType::kF32 : kernels().fast_activations(layout);
  }

 private:
  Context& context_;
  CpuDevice& device_;
};

}  // namespace glimmer::cpu
