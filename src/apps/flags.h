// The flags of one subcommand. A thin layer over CLI11, which only flags.cc includes: it is heavy to compile, and its
// own conversions accept things ("[a,b]" splits, "" vanishes) that prompts and stop strings must not suffer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace glimmer::apps {

using Arguments = std::span<const char* const>;  // what follows the subcommand's name

class Flags {
 public:
  Flags(const std::string& command, const std::string& summary);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // Flags added from here on stand under this heading of --help.
  Flags& group(const std::string& heading);

  // `names` as "-n,--max-tokens"; without dashes it is a positional argument. `metavar` stands for the value in --help.
  // The target keeps its value unless the flag is given. Every flag but the lists may be given once.
  Flags& add(const std::string& names, std::string& target, const char* metavar, const char* help);
  Flags& add(const std::string& names, std::optional<std::string>& target, const char* metavar, const char* help);
  Flags& add(const std::string& names, std::vector<std::string>& target, const char* metavar, const char* help);
  Flags& add(const std::string& names, int64_t& target, const char* metavar, const char* help);
  Flags& add(const std::string& names, std::optional<int64_t>& target, const char* metavar, const char* help);
  Flags& add(const std::string& names, std::optional<uint64_t>& target, const char* metavar, const char* help);
  Flags& add(const std::string& names, std::optional<double>& target, const char* metavar, const char* help);
  Flags& add_switch(const std::string& names, bool& target, const char* help);

  // Shown below the flags by --help, as it is.
  Flags& examples(const std::string& text);

  // Reads the arguments. False if --help was asked for and has been printed. Throws kUsage, naming the flag.
  bool parse(Arguments arguments);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Numbers as flags have them: the whole text, in range, finite. Throw kUsage; `what` begins the message.
int64_t parse_int(const std::string& text, const std::string& what);
double parse_double(const std::string& text, const std::string& what);

}  // namespace glimmer::apps
