#include "convert/convert.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "base/error.h"
#include "convert/output_files.h"
#include "source/side_files.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kJobValues = int64_t{1} << 20;  // values that a thread has in work at a time
// Of source and of output, between two notes in the journal. What is read stays mapped until then.
constexpr uint64_t kBatchBytes = uint64_t{96} << 20;

// Bytes of a part for rows [0, rows) of a matrix.
uint64_t part_bytes(const QuantPart& part, int64_t matrix_rows, int64_t rows) {
  const uint64_t whole = dtype_bytes(part.dtype, part.shape.element_count());
  if (part.matrix_rows == 0) return whole;
  const int64_t pieces = (matrix_rows + part.matrix_rows - 1) / part.matrix_rows;
  return whole / static_cast<uint64_t>(pieces) *
         static_cast<uint64_t>((rows + part.matrix_rows - 1) / part.matrix_rows);
}

bool is_stored_as(const ConvertMatrix& matrix) {
  const EncodedMatrix& data = matrix.pieces.front().data;
  return matrix.pieces.size() == 1 && !matrix.pieces.front().transposed && data.type == matrix.type &&
         data.params == matrix.params && data.row_map == nullptr;
}

// Whether any rows of it can be taken as they lie: its parts follow the rows one by one, or it is a whole matrix.
bool rows_can_be_copied(const ConvertMatrix& matrix) {
  const EncodedMatrix& data = matrix.pieces.front().data;
  if (data.first_row == 0 && data.rows == data.stored_rows) return true;
  const auto parts = data.type->parts(data.params, data.stored_rows, data.columns);
  return std::all_of(parts.begin(), parts.end(), [](const QuantPart& part) { return part.matrix_rows == 1; });
}

// Rows [begin, end) of the matrix as f32. `scratch` holds a transposed piece.
void decode_matrix(const ConvertMatrix& matrix, int64_t begin, int64_t end, std::vector<float>& scratch, float* out) {
  const int64_t columns = matrix.columns();
  int64_t first = 0;
  for (const ConvertPiece& piece : matrix.pieces) {
    const int64_t from = std::max(begin, first);
    const int64_t to = std::min(end, first + piece.rows());
    if (from < to && !piece.transposed) {
      decode_rows(piece.data, from - first, to - first, out + (from - begin) * columns);
    } else if (from < to) {
      scratch.resize(static_cast<size_t>(piece.data.rows * piece.data.columns));
      decode_rows(piece.data, 0, piece.data.rows, scratch.data());
      for (int64_t row = from; row < to; ++row) {
        const float* source = scratch.data() + (row - first);
        float* target = out + (row - begin) * columns;
        for (int64_t c = 0; c < columns; ++c) target[c] = source[c * piece.data.columns];
      }
    }
    first += piece.rows();
  }
}

uint64_t stored_bytes(const EncodedMatrix& data) {
  SourceTensor tensor;
  tensor.data = data;
  return ModelSource::stored_bytes(tensor);
}

void check_finite(const ConvertMatrix& matrix, int64_t first_row, std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    fail(ErrorCode::kInvalid, "{}: the value at [{}, {}] is {}: it cannot be quantised to {}", matrix.name,
         first_row + static_cast<int64_t>(i) / matrix.columns(), static_cast<int64_t>(i) % matrix.columns(), values[i],
         matrix.type->name);
  }
}

uint64_t fnv1a(std::string_view text, uint64_t hash = 0xCBF29CE484222325ULL) {
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ULL;
  return hash;
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
    std::string known;
    for (const Target* target : all_targets()) known.append(known.empty() ? "" : ", ").append(target->format);
    // A name such as GLM-4.7 is a folder; one that looks like a file's is not guessed at.
    if (std::all_of(extension.begin() + 1, extension.end(), [](char c) { return std::isalpha(c) != 0; })) {
      fail(ErrorCode::kUsage, "{}: which format is {}? Give --format: {}", destination.string(), extension, known);
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

// What the output depends on: a run that was interrupted may only go on with the very same.
std::string Conversion::fingerprint() const {
  uint64_t hash = fnv1a(target_->format);
  for (const OutputFile& file : plan_.files) {
    hash = fnv1a(file.name, hash);
    hash = fnv1a(file.header, hash);
    hash = fnv1a(std::to_string(file.size_bytes), hash);
  }
  for (const SourceTensor& tensor : source_->tensors()) hash = fnv1a(tensor.stored_name, hash);
  std::error_code error;
  std::string_view last;
  for (const SourceTensor& tensor : source_->tensors()) {
    if (tensor.file == last) continue;
    last = tensor.file;
    const auto changed = fs::last_write_time(fs::path(tensor.file), error).time_since_epoch().count();
    hash = fnv1a(fmt::format("{} {}", tensor.file, changed), hash);
  }
  if (options_.imatrix) {
    const auto changed = fs::last_write_time(*options_.imatrix, error).time_since_epoch().count();
    hash = fnv1a(fmt::format("{} {}", fs::absolute(*options_.imatrix).string(), changed), hash);
  }
  return fmt::format("{:016x}", hash);
}

std::vector<Conversion::Job> Conversion::jobs_of(size_t output) const {
  const ConvertMatrix& matrix = matrices_[plan_.matrices[output].matrix];
  int64_t step = 1;
  for (const QuantPart& part : matrix.type->parts(matrix.params, matrix.rows(), matrix.columns())) {
    step = std::max(step, part.matrix_rows);
  }
  const int64_t rows = std::max<int64_t>(step, kJobValues / matrix.columns() / step * step);
  std::vector<Job> jobs;
  for (int64_t row = 0; row < matrix.rows(); row += rows) {
    jobs.push_back({output, row, std::min(row + rows, matrix.rows())});
  }
  return jobs;
}

namespace {

// What one thread needs for a job.
struct Worker {
  std::vector<float> values;
  std::vector<float> scratch;
  std::vector<std::byte> encoded;
  std::vector<std::byte> read_back;
};

// The bytes of rows [begin, end) of each part, encoded or as they are stored.
struct Encoded {
  std::array<std::span<const std::byte>, kMaxQuantParts> parts;
  std::array<uint64_t, kMaxQuantParts> at{};  // from the beginning of the part
};

Encoded stored_rows(const ConvertMatrix& matrix, std::span<const QuantPart> parts, int64_t begin, int64_t end) {
  const EncodedMatrix& data = matrix.pieces.front().data;
  const std::vector<QuantPart> stored = data.type->parts(data.params, data.stored_rows, data.columns);
  Encoded out;
  for (size_t i = 0; i < parts.size(); ++i) {
    out.at[i] = part_bytes(parts[i], matrix.rows(), begin);
    const uint64_t from = part_bytes(stored[i], data.stored_rows, data.first_row + begin);
    const uint64_t size = part_bytes(parts[i], matrix.rows(), end) - out.at[i];
    if (parts[i].matrix_rows != 0 && parts[i].content.empty()) out.parts[i] = data.parts[i].subspan(from, size);
  }
  return out;
}

Encoded encoded_rows(const ConvertMatrix& matrix, std::span<const QuantPart> parts,
                     const std::vector<float>& importance, int64_t begin, int64_t end, Worker& worker) {
  const int64_t rows = end - begin;
  worker.values.resize(static_cast<size_t>(rows * matrix.columns()));
  decode_matrix(matrix, begin, end, worker.scratch, worker.values.data());
  const bool is_float = is_float_layout(matrix.type->layout(matrix.params, matrix.columns()));
  if (!is_float) check_finite(matrix, begin, worker.values);
  Encoded out;
  std::array<uint64_t, kMaxQuantParts> sizes{};
  uint64_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    out.at[i] = parts[i].matrix_rows == 0 ? 0 : part_bytes(parts[i], matrix.rows(), begin);
    const bool here = parts[i].content.empty() && (parts[i].matrix_rows != 0 || begin == 0);
    sizes[i] = here ? part_bytes(parts[i], matrix.rows(), end) - out.at[i] : 0;
    total += (sizes[i] + 7) / 8 * 8;
  }
  worker.encoded.resize(total);
  std::array<std::byte*, kMaxQuantParts> pointers{};
  std::byte* at = worker.encoded.data();
  for (size_t i = 0; i < parts.size(); ++i) {
    if (sizes[i] == 0) continue;
    pointers[i] = at;
    out.parts[i] = {at, sizes[i]};
    at += (sizes[i] + 7) / 8 * 8;
  }
  matrix.type->encode(matrix.params, worker.values.data(), rows, matrix.columns(),
                      importance.empty() ? nullptr : importance.data(), {pointers.data(), parts.size()});
  return out;
}

}  // namespace

void Conversion::run(ThreadPool& pool, OutputFiles& files, Mode mode, size_t first, const ProgressCallback& progress) {
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
    while (next < plan_.matrices.size() && (next == batch_begin || std::max(batch_bytes, source_bytes) < kBatchBytes)) {
      const ConvertMatrix& matrix = matrices_[plan_.matrices[next].matrix];
      if (importance_) importance[next] = importance_->mean_squares(matrix.name, matrix.columns());
      const std::vector<Job> more = jobs_of(next);
      jobs.insert(jobs.end(), more.begin(), more.end());
      for (const ConvertPiece& piece : matrix.pieces) source_bytes += stored_bytes(piece.data);
      batch_bytes += matrix_bytes(next++);
    }
    std::mutex mutex;
    std::exception_ptr failure;
    std::atomic<bool> failed = false;
    static const std::vector<float> kNoImportance;
    // Slices of the batch, so that progress moves and Ctrl-C is heard in a large matrix too.
    const size_t slice = static_cast<size_t>(pool.threads()) * 4;
    for (size_t from = 0; from < jobs.size(); from += slice) {
      const size_t count = std::min(slice, jobs.size() - from);
      pool.parallel_for(static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t, int worker) {
        if (failed) return;
        try {
          const Job& job = jobs[from + static_cast<size_t>(begin)];
          const auto found = importance.find(job.output);
          run_job(job, files, mode, found == importance.end() ? kNoImportance : found->second,
                  &workers[static_cast<size_t>(worker)]);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
          failed = true;
        }
      });
      if (failure) std::rethrow_exception(failure);
      ConvertProgress now = state;
      now.done_bytes += batch_bytes * (from + count) / jobs.size();
      if (progress) progress(now);
    }
    state.done_bytes += batch_bytes;
    for (size_t i = batch_begin; i < next; ++i) release(matrices_[plan_.matrices[i].matrix]);
    if (mode == Mode::kWrite) files.note_done(next);
  }
}

void Conversion::release(const ConvertMatrix& matrix) const {
  for (const ConvertPiece& piece : matrix.pieces) {
    SourceTensor tensor;
    tensor.data = piece.data;
    source_->release(tensor);
  }
}

void Conversion::run_job(const Job& job, OutputFiles& files, Mode mode, const std::vector<float>& importance,
                         void* worker_memory) const {
  Worker& worker = *static_cast<Worker*>(worker_memory);
  const OutputMatrix& output = plan_.matrices[job.output];
  const ConvertMatrix& matrix = matrices_[output.matrix];
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
  const bool stored = is_stored_as(matrix) && rows_can_be_copied(matrix);
  const Encoded encoded = stored ? stored_rows(matrix, parts, job.row_begin, job.row_end)
                                 : encoded_rows(matrix, parts, importance, job.row_begin, job.row_end, worker);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::span<const std::byte> bytes = encoded.parts[i];
    uint64_t at = output.offsets[i] + encoded.at[i];
    if (!parts[i].content.empty()) {
      if (job.row_begin != 0) continue;
      bytes = std::as_bytes(std::span(parts[i].content));
      at = output.offsets[i];
    }
    if (bytes.empty()) continue;
    if (mode == Mode::kWrite) {
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
}

void Conversion::write(ThreadPool& pool, const ProgressCallback& progress) {
  if (target_->is_folder) {
    // Replacing a folder removes all that is in it.
    std::error_code error;
    const fs::path source = fs::weakly_canonical(source_->path(), error);
    const fs::path inside = source.lexically_relative(fs::weakly_canonical(destination_, error));
    if (!inside.empty() && inside != "." && *inside.begin() != "..") {
      fail(ErrorCode::kUsage, "{}: holds the source, {}", destination_.string(), source_->path().string());
    }
  }
  OutputFiles files(destination_, target_->is_folder, plan_.files, fingerprint());
  const OutputFiles::Partial partial = options_.resume  ? OutputFiles::Partial::kResume
                                       : options_.force ? OutputFiles::Partial::kDiscard
                                                        : OutputFiles::Partial::kRefuse;
  std::vector<std::string> side_names;
  for (const auto& [name, text] : plan_.side_files) side_names.push_back(name);
  files.prepare(options_.force ? OutputFiles::Existing::kReplace : OutputFiles::Existing::kRefuse, partial, side_names);
  for (const auto& [name, text] : plan_.side_files) files.write_side_file(name, text);
  run(pool, files, Mode::kWrite, files.done(), progress);
  files.commit();
}

void Conversion::verify(ThreadPool& pool, const ProgressCallback& progress) {
  OutputFiles files(destination_, target_->is_folder, plan_.files, fingerprint());
  files.open_finished();
  run(pool, files, Mode::kVerify, 0, progress);
  const std::unique_ptr<ModelSource> written = ModelSource::open(destination_);
  for (const OutputMatrix& output : plan_.matrices) {
    const ConvertMatrix& matrix = matrices_[output.matrix];
    const SourceTensor& tensor = written->require(matrix.name);
    if (tensor.shape.element_count() != matrix.shape.element_count()) {
      fail(ErrorCode::kInvalid, "{}: tensor {} has shape {}, expected {}", destination_.string(), matrix.name,
           tensor.shape.to_string(), matrix.shape.to_string());
    }
  }
}

}  // namespace glimmer
