// glimmer convert: any model to any format, a few rows at a time. Memory is bounded by the rows in work, not by the
// model: rows are read as f32 from the mapped source, encoded, and written at their place.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/thread_pool.h"
#include "convert/recipe.h"
#include "convert/target.h"
#include "source/importance.h"

namespace glimmer {

struct ConvertOptions {
  std::string format;  // "": told by the destination's extension; a folder is "hf"
  RecipeOptions recipe;
  std::optional<std::filesystem::path> imatrix;
  bool force = false;   // replace what is there
  bool resume = false;  // go on where an interrupted run of the same conversion stopped
};

struct ConvertProgress {
  uint64_t done_bytes = 0;  // of the output
  uint64_t total_bytes = 0;
};

class OutputFiles;

class Conversion {
 public:
  // Called after each piece of work on the calling thread; may throw (kCancelled): what is written stays for --resume.
  using ProgressCallback = std::function<void(const ConvertProgress&)>;

  // Plans everything and writes nothing. Throws kUsage, kUnsupported (what the format cannot hold), kInvalid, and as
  // ModelSource::open.
  Conversion(std::shared_ptr<const ModelSource> source, std::filesystem::path destination, ConvertOptions options);
  ~Conversion();

  const Target& target() const { return *target_; }
  const OutputPlan& plan() const { return plan_; }
  const std::vector<ConvertMatrix>& matrices() const { return matrices_; }
  const std::vector<std::string>& notes() const { return plan_.notes; }
  uint64_t output_bytes() const;
  double bits_per_weight() const;  // over all tensors

  // Writes under temporary names ("<name>.partial"), then renames. Throws kUsage if the destination exists and is not
  // to be replaced, kLimit if the disk has too little room, kIo, kInvalid (a value that is not finite, in a matrix that
  // is to be quantised), kCancelled.
  void write(ThreadPool& pool, const ProgressCallback& progress);

  // Reads the destination again, opens it as a model, and compares every byte of every tensor with what the source
  // gives. Throws kInvalid naming the first tensor that differs.
  void verify(ThreadPool& pool, const ProgressCallback& progress);

 private:
  struct Job;
  enum class Mode { kWrite, kVerify };
  void run(ThreadPool& pool, OutputFiles& files, Mode mode, size_t first, const ProgressCallback& progress);
  void run_job(const Job& job, OutputFiles& files, Mode mode, const std::vector<float>& importance,
               void* worker_memory) const;
  std::vector<Job> jobs_of(size_t output) const;
  uint64_t matrix_bytes(size_t output) const;
  std::string fingerprint() const;
  void load_importance(std::vector<std::string>& notes);
  void release(const ConvertMatrix& matrix) const;

  std::shared_ptr<const ModelSource> source_;
  std::filesystem::path destination_;
  ConvertOptions options_;
  const Target* target_ = nullptr;
  std::vector<ConvertMatrix> matrices_;
  OutputPlan plan_;
  std::optional<Importance> importance_;
};

}  // namespace glimmer
