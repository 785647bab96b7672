#include "convert/convert.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "base/error.h"
#include "base/log.h"
#include "base/name_table.h"
#include "convert/output_files.h"
#include "convert/replaceable.h"
#include "convert/source_hash.h"
#include "source/side_files.h"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;

// Values per task: 4 MB as f32, which bounds memory; smaller jobs mean more, smaller writes.
constexpr int64_t kJobValues = int64_t{1} << 20;

uint64_t stored_bytes(const EncodedMatrix& data) {
  SourceTensor tensor;
  tensor.data = data;
  return ModelSource::stored_bytes(tensor);
}

// body(index, worker) for each index below `count`. What one throws is thrown here, once all others are at their end.
template <typename Body>
void for_each(ThreadPool& pool, size_t count, const Body& body) {
  std::mutex mutex;
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
  pool.parallel_for(static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t, int worker) {
    if (failed) return;
    try {
      body(static_cast<size_t>(begin), static_cast<size_t>(worker));
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      failed = true;
    }
  });
  if (failure) std::rethrow_exception(failure);
}

const Target& target_for(const fs::path& destination, const std::string& format) {
  const std::string extension = destination.extension().string();
  if (!format.empty()) {
    const Target& target = require_target(format);
    if (!target.is_folder && target.extension != extension) {
      fail(ErrorCode::kUsage, "{}: a {} file is known by its name, which ends in {}", destination.string(), format,
           target.extension);
    }
    return target;
  }
  for (const Target* target : all_targets()) {
    if (!target->is_folder && target->extension == extension) return *target;
  }
  if (!extension.empty() && extension.size() <= 6 && !fs::is_directory(destination)) {
    // A name such as GLM-4.7 is a folder; one that looks like a file's is not guessed at.
    if (std::all_of(extension.begin() + 1, extension.end(), [](char c) { return std::isalpha(c) != 0; })) {
      fail(ErrorCode::kUsage, "{}: which format is {}? Give --format: {}", destination.string(), extension,
           list_names(all_targets(), &Target::format));
    }
  }
  return require_target("hf");
}

}  // namespace

// Rows of an output matrix: one thread's work.
struct Conversion::Job {
  size_t output = 0;  // which of plan_.matrices
  int64_t row_begin = 0;
  int64_t row_end = 0;
};

Conversion::Conversion(std::shared_ptr<const ModelSource> source, fs::path destination, ConvertOptions options)
    : source_(std::move(source)), destination_(std::move(destination)), options_(std::move(options)) {
  target_ = &target_for(destination_, options_.format);
  const SideFiles files = side_files_of(*source_);
  const ModelConfig config = read_config(files);
  const std::string label = files.label("config.json");
  std::vector<std::string> notes;
  matrices_ = convert_matrices(*source_, config, *target_, notes);
  if (matrices_.empty()) fail(ErrorCode::kInvalid, "{}: there is no tensor to convert", source_->path().string());
  choose_types(config, *target_, options_.recipe, matrices_, notes);
  if (options_.imatrix) load_importance(notes);
  const ConvertInput input{.source = *source_,
                           .files = files,
                           .config = config,
                           .config_json = parse_json(*files.read("config.json"), label),
                           .type_name = options_.recipe.type.empty() ? "bf16" : options_.recipe.type,
                           .output_stem = destination_.stem().string()};
  for (const ConvertMatrix& matrix : matrices_) as_read_.push_back(matrix.pieces.front().data);
  plan_ = target_->plan(input, matrices_);
  plan_.notes.insert(plan_.notes.begin(), notes.begin(), notes.end());
}

Conversion::~Conversion() = default;

// Looks every matrix up now rather than hours from now.
void Conversion::load_importance(std::vector<std::string>& notes) {
  importance_ = Importance::load(*options_.imatrix);
  int64_t quantized = 0;
  int64_t found = 0;
  for (const ConvertMatrix& matrix : matrices_) {
    if (is_float_layout(matrix.type->layout(matrix.params, matrix.columns()))) continue;
    ++quantized;
    found += importance_->mean_squares(matrix.name, matrix.columns()).empty() ? 0 : 1;
  }
  if (quantized > 0 && found == 0) {
    fail(ErrorCode::kInvalid, "{}: holds none of the {} matrices that are quantised; it is another model's",
         options_.imatrix->string(), quantized);
  }
  if (found < quantized) {
    notes.push_back(fmt::format("{} of {} quantised matrices have no importance in {}", quantized - found, quantized,
                                options_.imatrix->string()));
  }
}

uint64_t Conversion::output_bytes() const {
  uint64_t bytes = 0;
  for (const OutputFile& file : plan_.files) bytes += file.size_bytes;
  return bytes;
}

double Conversion::bits_per_weight() const {
  double bits = 0;
  double weights = 0;
  for (const ConvertMatrix& matrix : matrices_) {
    const auto count = static_cast<double>(matrix.rows() * matrix.columns());
    bits += count * glimmer::bits_per_weight(*matrix.type, matrix.params, matrix.rows(), matrix.columns());
    weights += count;
  }
  return bits / weights;
}

uint64_t Conversion::matrix_bytes(size_t output) const {
  const ConvertMatrix& matrix = matrices_[plan_.matrices[output].matrix];
  uint64_t bytes = 0;
  for (const QuantPart& part : matrix.type->parts(matrix.params, matrix.rows(), matrix.columns())) {
    bytes += part_bytes(part, matrix.rows(), matrix.rows());
  }
  return bytes;
}

// What the output depends on, but for the source's weights: a run that was interrupted may only go on with the very
// same.
std::string Conversion::fingerprint() const {
  std::string text = fmt::format("{}\n{}\n", target_->format, options_.out_of_range == OutOfRange::kSaturate);
  for (const OutputFile& file : plan_.files) {
    text += fmt::format("{} {} {}\n", file.name, file.size_bytes, text_hash(file.header));
  }
  for (const auto& [name, content] : plan_.side_files) text += fmt::format("{} {}\n", name, text_hash(content));
  for (const OutputMatrix& output : plan_.matrices) {
    const ConvertMatrix& matrix = matrices_[output.matrix];
    text += fmt::format("{} {} {}\n", matrix.name, matrix.shape.to_string(), matrix.type->name);
  }
  if (options_.imatrix) text += file_hash(*options_.imatrix);
  return text_hash(text);
}

std::vector<Conversion::Job> Conversion::jobs_of(size_t output) const {
  const ConvertMatrix& matrix = matrices_[plan_.matrices[output].matrix];
  const int64_t step = row_step(matrix);
  const int64_t rows = std::max<int64_t>(step, kJobValues / matrix.columns() / step * step);
  std::vector<Job> jobs;
  for (int64_t row = 0; row < matrix.rows(); row += rows) {
    jobs.push_back({output, row, std::min(row + rows, matrix.rows())});
  }
  return jobs;
}

// What one thread needs for a job.
struct Conversion::Worker {
  RowEncoder encoder;
  std::vector<std::byte> read_back;
  std::vector<float> read_values;
};

void Conversion::run(ThreadPool& pool, OutputFiles& files, const ModelSource* written, size_t first,
                     const ProgressCallback& progress) {
  ConvertProgress state;
  for (size_t i = 0; i < plan_.matrices.size(); ++i) {
    state.total_bytes += matrix_bytes(i);
    if (i < first) state.done_bytes = state.total_bytes;
  }
  std::vector<Worker> workers(static_cast<size_t>(pool.threads()));
  for (size_t next = first; next < plan_.matrices.size();) {
    const size_t batch_begin = next;
    std::vector<Job> jobs;
    std::map<size_t, std::vector<float>> importance;
    uint64_t batch_bytes = 0;
    uint64_t source_bytes = 0;
    while (next < plan_.matrices.size() &&
           (next == batch_begin || std::max(batch_bytes, source_bytes) < options_.batch_bytes)) {
      const ConvertMatrix& matrix = matrices_[plan_.matrices[next].matrix];
      importance[next] = importance_ ? importance_->mean_squares(matrix.name, matrix.columns()) : std::vector<float>();
      const std::vector<Job> more = jobs_of(next);
      jobs.insert(jobs.end(), more.begin(), more.end());
      for (const ConvertPiece& piece : matrix.pieces) source_bytes += stored_bytes(piece.data);
      batch_bytes += matrix_bytes(next++);
    }
    std::vector<int64_t> saturated(jobs.size());
    // Slices of the batch, so that progress moves and Ctrl-C is heard in a large matrix too.
    const size_t slice = static_cast<size_t>(pool.threads()) * 4;
    for (size_t from = 0; from < jobs.size(); from += slice) {
      const size_t count = std::min(slice, jobs.size() - from);
      for_each(pool, count, [&](size_t index, size_t worker) {
        const Job& job = jobs[from + index];
        saturated[from + index] = run_job(job, files, written, importance.at(job.output), workers[worker]);
      });
      ConvertProgress now = state;
      now.done_bytes += batch_bytes * (from + count) / jobs.size();
      if (progress) progress(now);
    }
    state.done_bytes += batch_bytes;
    if (written == nullptr) {
      const std::vector<std::string> hashes = source_hashes(pool, batch_begin, next);
      warn_of_saturated(jobs, saturated);
      source_->check_unchanged();  // before it counts as done
      files.note_done(hashes);
    }
    for (size_t i = batch_begin; i < next; ++i) release(matrices_[plan_.matrices[i].matrix]);
  }
}

std::vector<std::string> Conversion::source_hashes(ThreadPool& pool, size_t begin, size_t end) const {
  std::vector<std::string> hashes(end - begin);
  for_each(pool, hashes.size(),
           [&](size_t index, size_t) { hashes[index] = source_hash(matrices_[plan_.matrices[begin + index].matrix]); });
  return hashes;
}

// The source may have changed since the run that was interrupted: what that has read must be what is there now.
void Conversion::check_done(ThreadPool& pool, std::span<const std::string> done) const {
  if (done.size() > plan_.matrices.size()) {
    fail(ErrorCode::kInvalid, "{}: the journal counts {} matrices, of {}; give --force to begin anew",
         destination_.string(), done.size(), plan_.matrices.size());
  }
  const size_t slice = static_cast<size_t>(pool.threads()) * 4;
  for (size_t from = 0; from < done.size(); from += slice) {
    const size_t to = std::min(from + slice, done.size());
    const std::vector<std::string> now = source_hashes(pool, from, to);
    for (size_t i = from; i < to; ++i) {
      const ConvertMatrix& matrix = matrices_[plan_.matrices[i].matrix];
      if (now[i - from] != done[i]) {
        source_->check_unchanged();
        fail(ErrorCode::kUsage,
             "{}: tensor {} is not what it was when the interrupted run read it: this would be another conversion; "
             "give --force to begin anew",
             source_->path().string(), matrix.name);
      }
      release(matrix);
    }
  }
}

void Conversion::warn_of_saturated(std::span<const Job> jobs, std::span<const int64_t> saturated) const {
  std::map<size_t, int64_t> counts;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (saturated[i] != 0) counts[plan_.matrices[jobs[i].output].matrix] += saturated[i];
  }
  for (const auto& [index, count] : counts) {
    const ConvertMatrix& matrix = matrices_[index];
    log_warning("{}: {} of {} values are beyond the range of {} and are cut off", matrix.name, count,
                matrix.rows() * matrix.columns(), matrix.type->name);
  }
}

void Conversion::release(const ConvertMatrix& matrix) const {
  for (const ConvertPiece& piece : matrix.pieces) {
    SourceTensor tensor;
    tensor.data = piece.data;
    source_->release(tensor);
  }
}

int64_t Conversion::run_job(const Job& job, OutputFiles& files, const ModelSource* written,
                            const std::vector<float>& importance, Worker& worker) const {
  const OutputMatrix& output = plan_.matrices[job.output];
  const ConvertMatrix& matrix = matrices_[output.matrix];
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
  const EncodedRows encoded =
      worker.encoder.encode(matrix, importance, options_.out_of_range, job.row_begin, job.row_end);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::span<const std::byte> bytes = encoded.parts[i];
    uint64_t at = output.offsets[i] + encoded.at[i];
    if (!parts[i].content.empty()) {
      if (job.row_begin != 0) continue;
      bytes = std::as_bytes(std::span(parts[i].content));
      at = output.offsets[i];
    }
    if (bytes.empty()) continue;
    if (written == nullptr) {
      files.write(output.file, at, bytes);
      continue;
    }
    worker.read_back.resize(bytes.size());
    files.read(output.file, at, worker.read_back);
    if (std::memcmp(worker.read_back.data(), bytes.data(), bytes.size()) != 0) {
      fail(ErrorCode::kInvalid,
           "{}: tensor {}, rows {} to {}: what is written is not what the source gives; convert again",
           files.path(output.file).string(), matrix.name, job.row_begin, job.row_end);
    }
  }
  if (written != nullptr) check_values(job, *written, worker);
  return worker.encoder.saturated_values();
}

// What one who opens the output reads there, by the tensor's name, is what was meant, and is near the source.
void Conversion::check_values(const Job& job, const ModelSource& written, Worker& worker) const {
  const size_t index = plan_.matrices[job.output].matrix;
  const ConvertMatrix& matrix = matrices_[index];
  const SourceTensor& tensor = written.require(matrix.name);
  const std::span<const float> expected = worker.encoder.written_values();
  const int64_t columns = matrix.columns();
  worker.read_values.resize(expected.size());
  for (int64_t row = job.row_begin; row < job.row_end; ++row) {
    const int64_t read = rows_as_read_[index].empty() ? row : rows_as_read_[index][static_cast<size_t>(row)];
    decode_rows(tensor.data, read, read + 1, worker.read_values.data() + (row - job.row_begin) * columns);
  }
  auto wrong = find_implausible(matrix, worker.encoder.source_values(), expected);
  for (size_t i = 0; wrong < 0 && i < expected.size(); ++i) {
    if (std::memcmp(&expected[i], &worker.read_values[i], sizeof(float)) != 0) wrong = static_cast<int64_t>(i);
  }
  if (wrong < 0) return;
  const auto at = static_cast<size_t>(wrong);
  fail(ErrorCode::kInvalid, "{}: tensor {}, value [{}, {}]: {} is read, where the source has {}", destination_.string(),
       matrix.name, job.row_begin + wrong / columns, wrong % columns, worker.read_values[at],
       worker.encoder.source_values()[at]);
}

void Conversion::write(ThreadPool& pool, const ProgressCallback& progress) {
  ReadFiles read;
  read.add(source_->path());
  std::string_view last;
  for (const SourceTensor& tensor : source_->tensors()) {
    if (tensor.file != last) read.add(tensor.file);
    last = tensor.file;
  }
  if (options_.imatrix) read.add(*options_.imatrix);
  std::vector<fs::path> outputs = {destination_};
  for (const auto& [name, text] : plan_.side_files) {
    if (!target_->is_folder) outputs.push_back(destination_.parent_path() / name);
  }
  for (const fs::path& path : outputs) read.check_not_among(path);

  OutputFiles files(destination_, target_->is_folder, plan_.files, fingerprint());
  const OutputFiles::Partial partial = options_.resume  ? OutputFiles::Partial::kResume
                                       : options_.force ? OutputFiles::Partial::kDiscard
                                                        : OutputFiles::Partial::kRefuse;
  files.prepare(options_.force ? OutputFiles::Existing::kReplace : OutputFiles::Existing::kRefuse, partial,
                plan_.side_files);
  check_done(pool, files.done());
  if (!files.is_complete()) run(pool, files, nullptr, files.done().size(), progress);
  files.commit();
}

void Conversion::verify(ThreadPool& pool, const ProgressCallback& progress) {
  OutputFiles files(destination_, target_->is_folder, plan_.files, fingerprint());
  files.open_finished();
  const std::unique_ptr<ModelSource> written = ModelSource::open(destination_);
  for (const OutputMatrix& output : plan_.matrices) {
    const ConvertMatrix& matrix = matrices_[output.matrix];
    const SourceTensor& tensor = written->require(matrix.name);
    const bool is_same =
        tensor.data.type != nullptr && tensor.data.rows == matrix.rows() && tensor.data.columns == matrix.columns();
    if (!is_same) {
      fail(ErrorCode::kInvalid, "{}: tensor {} has shape {}, expected {}", destination_.string(), matrix.name,
           tensor.shape.to_string(), matrix.shape.to_string());
    }
  }
  find_rows_as_read();
  run(pool, files, written.get(), 0, progress);
  source_->check_unchanged();
  written->check_unchanged();
}

// A target may have put rows in another order, which its reader undoes: where each row of the output is read.
void Conversion::find_rows_as_read() {
  rows_as_read_.assign(matrices_.size(), {});
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const EncodedMatrix& now = matrices_[i].pieces.front().data;
    const EncodedMatrix& before = as_read_[i];
    if (now.row_map == before.row_map) continue;
    std::map<int64_t, int64_t> row_of_stored;
    for (int64_t row = 0; row < before.rows; ++row) row_of_stored[before.stored_row(row)] = row;
    for (int64_t row = 0; row < now.rows; ++row) rows_as_read_[i].push_back(row_of_stored.at(now.stored_row(row)));
  }
}

}  // namespace glimmer::convert
