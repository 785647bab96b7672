// What the command line says of prompts: arguments of the chat template, and files of tools.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/flags.h"
#include "base/json.h"

namespace glimmer::apps {

// --template-arg, --no-thinking.
struct TemplateFlags {
  std::vector<std::string> args;  // KEY=VALUE
  bool no_thinking = false;

  void add(Flags& flags);
  // Sets the arguments in the inputs of a template. VALUE is read as JSON, or as a string where it is none.
  // Throws kUsage.
  void apply(Json& inputs) const;
};

// A JSON file of tools: a list, or an object with the list as "tools". Throws kNotFound, kInvalid.
Json read_tools(const std::filesystem::path& path);

}  // namespace glimmer::apps
