// A conversation: each line of standard input is a message.   chat MODEL
#include <cstdio>
#include <glimmer/glimmer.hpp>
#include <iostream>

// As a JSON string.
static std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
    } else {
      out += c;
    }
  }
  return out + '"';
}

static std::string message(const std::string& role, const std::string& text) {
  return "{\"role\": \"" + role + "\", \"content\": " + quoted(text) + "}";
}

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: chat MODEL\n";
    return 2;
  }
  glimmer::LoadedModel model(argv[1]);
  std::string messages;
  for (std::string line; std::getline(std::cin, line);) {
    messages += (messages.empty() ? "" : ", ") + message("user", line);
    glimmer::GenerateOptions options;
    options.max_tokens = 200;
    options.temperature = 0;
    glimmer::Generation generation =
        model.chat("{\"messages\": [" + messages + "], \"template_args\": {\"enable_thinking\": false}}", options);
    std::string answer;
    while (const auto event = generation.next()) {
      if (event->kind != GLIMMER_CONTENT) continue;
      answer += event->text;
      std::cout << event->text << std::flush;
    }
    std::cout << "\n";
    messages += ", " + message("assistant", answer);
  }
  return 0;
} catch (const glimmer::ApiException& error) {
  std::cerr << "chat: " << error.what() << "\n";
  return 1;
}
