// Errors that are the outside world's fault: a file, a flag, a request. They are thrown, and caught in main or in the
// request handler. A fault of ours is a GLIMMER_CHECK (check.h), which ends the process.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace glimmer {

enum class ErrorCode {
  kUsage,        // the command line or an argument is wrong: exit status 2
  kNotFound,     // a file, folder or tensor is not there
  kIo,           // the operating system refused a read, write or map
  kInvalid,      // the input is malformed: what was read is not what its format says
  kUnsupported,  // well-formed, but of a kind that Glimmer does not know
  kLimit,        // a bound was reached: context length, nesting, steps, a budget of memory
  kMemory,       // the system has no memory left
  kCancelled,    // the user asked to stop
  kPeer,         // another rank of a group failed, or is not heard of
};

// A message says what was read, what was expected and found, where, and the likely remedy. It is one line.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// fail(ErrorCode::kInvalid, "{}: header length {} exceeds the file's {} bytes", path, header, size)
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace glimmer
