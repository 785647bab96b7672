// glimmer convert: any model to any format, a few rows at a time. Memory is bounded by the rows in flight, not by the
// model: rows are read as f32 from the mapped source, encoded, and written at their offset.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/thread_pool.h"
#include "convert/encode_rows.h"
#include "convert/recipe.h"
#include "convert/target.h"
#include "source/importance.h"

namespace glimmer::convert {

struct ConvertOptions {
  std::string format;  // "": told by the destination's extension; a folder is "hf"
  RecipeOptions recipe;
  std::optional<std::filesystem::path> imatrix;
  bool force = false;  // replace what is there, if it is a model (convert/replaceable.h)
  OutOfRange out_of_range = OutOfRange::kError;
  bool resume = false;  // go on where an interrupted run of the same conversion stopped
  // Of source and of output, between two notes in the journal. What is read stays mapped until then.
  uint64_t batch_bytes = uint64_t{96} << 20;
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
  // to be replaced, or is the source by whatever name, or if what is to be resumed was made of another source; kLimit
  // if the disk has too little room; kIo; kInvalid (a value that is not finite, in a matrix that is to be quantised, or
  // that is beyond its type's range); kCancelled.
  void write(ThreadPool& pool, const ProgressCallback& progress);

  // Reads the destination again: every byte of every tensor is what the source gives, and every value, as one reads it
  // who opens the destination as a model, is what its type makes of the source's. Throws kInvalid naming the first
  // tensor that differs.
  void verify(ThreadPool& pool, const ProgressCallback& progress);

 private:
  struct Job;
  struct Worker;
  // `written`: the output as a model, to be compared; null: it is to be written.
  void run(ThreadPool& pool, OutputFiles& files, const ModelSource* written, size_t first,
           const ProgressCallback& progress);
  int64_t run_job(const Job& job, OutputFiles& files, const ModelSource* written, const std::vector<float>& importance,
                  Worker& worker) const;  // returns how many values are cut off
  void check_values(const Job& job, const ModelSource& written, Worker& worker) const;
  void find_rows_as_read();
  std::vector<std::string> source_hashes(ThreadPool& pool, size_t begin, size_t end) const;
  void check_done(ThreadPool& pool, std::span<const std::string> done) const;
  void warn_of_saturated(std::span<const Job> jobs, std::span<const int64_t> saturated) const;
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
  std::vector<EncodedMatrix> as_read_;              // their first pieces, before the target reordered rows
  std::vector<std::vector<int64_t>> rows_as_read_;  // of each: its rows in the reader's order; empty: as they are
  OutputPlan plan_;
  std::optional<Importance> importance_;
};

}  // namespace glimmer::convert
