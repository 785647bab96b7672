// The interpreter against jinja2: jinja_cases.jsonl holds what jinja2 makes of every template of jinja_cases.txt
// (tools/check_jinja.py cases). Limits and messages are tested beside it.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/json_numbers.h"
#include "text/chat_template.h"

namespace glimmer {
namespace {

TemplateOptions fixed_clock() {
  TemplateOptions options;
  options.clock = [] {
    std::tm now{};  // Friday, 4 July 2025, 09:05:06
    now.tm_year = 125;
    now.tm_mon = 6;
    now.tm_mday = 4;
    now.tm_hour = 9;
    now.tm_min = 5;
    now.tm_sec = 6;
    now.tm_wday = 5;
    now.tm_yday = 184;
    return now;
  };
  return options;
}

std::string render(std::string_view text, const Json& inputs = Json::object()) {
  Json complete = inputs;
  if (!complete.contains("messages")) complete["messages"] = Json::array();
  return ChatTemplate(text, "test.jinja", fixed_clock()).render(complete);
}

// What the template fails with; a test failure if it does not.
Error failure(std::string_view text, const Json& inputs = Json::object()) {
  try {
    const std::string rendered = render(text, inputs);
    ADD_FAILURE() << "rendered: " << rendered.substr(0, 200);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kCancelled, "no error");
}

std::string repeat(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

TEST(Jinja, EqualsJinja2OnTheTable) {
  std::ifstream file(GLIMMER_SOURCE_DIR "/tests/text/jinja_cases.jsonl");
  ASSERT_TRUE(file) << "tests/text/jinja_cases.jsonl is missing";
  size_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json row = Json::parse(line);
    const std::string text = row["template"];
    SCOPED_TRACE("line " + std::to_string(cases + 1) + ": " + text);
    if (row.contains("error")) {
      failure(text, row["inputs"]);
      continue;
    }
    try {
      EXPECT_EQ(render(text, row["inputs"]), row["text"].get<std::string>());
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GT(cases, 200u);
}

// As Python has them, whose integers have no limit; arithmetic on them is refused.
TEST(Jinja, NumbersBeyond64BitsKeepTheirDigits) {
  const Json inputs = {{"x", parse_exact_json(R"({"n": 18446744073709551615, "m": -12345678901234567890123, "e": 1e400,
      "d": 0.1000000000000000055, "l": 9223372036854775808, "same": 18446744073709551615})",
                                              "inputs")}};
  EXPECT_EQ(render("{{ x.n }} {{ x.m }} {{ x.d }} {{ x.n | string }} {{ '%s' % x.m }} {{ x.n ~ 'x' }}", inputs),
            "18446744073709551615 -12345678901234567890123 0.1000000000000000055 18446744073709551615 "
            "-12345678901234567890123 18446744073709551615x");
  EXPECT_EQ(
      render("{{ [x.n] | tojson }} {{ {'a': x.m} | tojson }} {{ x.e | tojson }} {{ {x.n: 1} | tojson }} {{ [x.n] }}",
             inputs),
      "[18446744073709551615] {\"a\": -12345678901234567890123} 1e400 {\"18446744073709551615\": 1} "
      "[18446744073709551615]");
  EXPECT_EQ(
      render("{{ x.n is number }} {{ x.n is integer }} {{ x.n is float }} {{ x.n is string }} {{ x.n is mapping }} "
             "{{ x.d is float }} {{ x.d is integer }} {{ x.n is iterable }} {{ 'y' if x.n }} {{ x.n is boolean }}",
             inputs),
      "True True False False False True False False y False");
  EXPECT_EQ(render("{{ x.n == x.same }} {{ x.n == x.m }} {{ x.n > 5 }} {{ x.m < x.n }} {{ x.m < -5 }} {{ x.n > 1.5 }} "
                   "{{ x.n in [1, x.same] }} {{ {x.n: 'k'}[x.same] }} {{ [x.n, 3, x.m] | sort }}",
                   inputs),
            "True False True True True True True k [-12345678901234567890123, 3, 18446744073709551615]");
  EXPECT_EQ(
      render("{{ -x.n }} {{ -x.m }} {{ x.m | abs }} {{ -x.l }} {{ x.n | int }} {{ x.n | round }} {{ x.n | float }}",
             inputs),
      "-18446744073709551615 12345678901234567890123 12345678901234567890123 -9223372036854775808 "
      "18446744073709551615 18446744073709551615 1.8446744073709552e+19");
  for (const char* text : {"{{ x.n + 1 }}", "{{ x.n * 2 }}", "{{ 1 - x.m }}", "{{ x.n // 2 }}", "{{ x.n % 2 }}",
                           "{{ x.n ** 2 }}", "{{ '%d' % x.n }}", "{{ '{:,}'.format(x.n) }}", "{{ 'ab' * x.n }}",
                           "{{ [1][x.n] + 1 }}", "{{ range(x.n) }}", "{{ 'a' in x.n }}"}) {
    failure(text, inputs);
  }
  EXPECT_EQ(render("{{ x.d + 1 }} {{ '%.2f' % x.d }} {{ '{:.1f}'.format(x.n) }}", inputs),
            "1.1 0.10 18446744073709551616.0");
}

TEST(Jinja, MessagesNameTemplateLineAndCause) {
  EXPECT_STREQ(failure("a\nb\n{{ x.y }}").what(), "test.jinja:3: 'x' is undefined");
  EXPECT_STREQ(failure("{% if a %}\n\n{{ 1 + 'a' }}{% endif %}", {{"a", true}}).what(),
               "test.jinja:3: can only concatenate str, not int + str; use ~ to concatenate anything");
  EXPECT_STREQ(failure("\n{{ raise_exception('roles must alternate') }}").what(), "test.jinja:2: roles must alternate");
  const std::string unknown = failure("\n\n{{ 'x' | foo }}").what();
  EXPECT_TRUE(unknown.starts_with("test.jinja:3: unknown filter 'foo'; known: abs, attr, batch, ")) << unknown;
  const std::string tag = failure("{% nope %}").what();
  EXPECT_TRUE(tag.starts_with("test.jinja:1: unknown tag 'nope'; known: ")) << tag;
  EXPECT_STREQ(failure("{% for x in y %}\n").what(),
               "test.jinja:1: unexpected end of template; expected 'endfor' or 'else' to close 'for'");
  EXPECT_EQ(failure("{% include 'x' %}").code(), ErrorCode::kUnsupported);
  // A line inside a macro is the macro's.
  EXPECT_STREQ(failure("{% macro m(x) %}\n{{ x.a.b }}{% endmacro %}\n\n{{ m({}) }}").what(),
               "test.jinja:2: 'dict object' has no attribute 'a'");
}

TEST(Jinja, ASliceAmongSeveralSubscriptsIsAnError) {
  EXPECT_NE(std::string(failure("{{ 'abc'[1:1, 2, 3] }}").what()).find("a slice among several subscripts"),
            std::string::npos);
}

TEST(Jinja, SandboxHoldsPythonInternalsBack) {
  EXPECT_EQ(render("{{ ''.__class__ }}{{ [].__class__ is defined }}"), "False");
  const char* const attacks[] = {
      "{{ ''.__class__.__mro__ }}",
      "{{ ''['__class__']['__mro__'] }}",
      "{{ '{0.__class__.__init__.__globals__}'.format(namespace) }}",
      "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
      "{{ ''|attr('__class__')|attr('__mro__') }}",
      "{{ ['']|map(attribute='__class__.__mro__')|list }}",
      "{{ [].append(1) }}",
      "{{ {}.update({'a': 1}) }}",
      "{{ cycler.__init__.__globals__ }}",
      "{{ messages.__class__() }}",
  };
  for (const char* attack : attacks) EXPECT_EQ(failure(attack).code(), ErrorCode::kInvalid) << attack;
}

TEST(Jinja, NestingIsLimited) {
  constexpr size_t kDeep = 50'000;
  const std::string deep[] = {
      "{{ " + repeat("(", kDeep) + "1" + repeat(")", kDeep) + " }}",
      "{{ " + repeat("[", kDeep) + repeat("]", kDeep) + " }}",
      "{{ " + repeat("not ", kDeep) + "1 }}",
      "{{ " + repeat("-", kDeep) + "1 }}",
      "{{ 1" + repeat("+1", kDeep) + " }}",
      "{{ a" + repeat(".b", kDeep) + " }}",
      "{{ a" + repeat("|upper", kDeep) + " }}",
      "{{ a" + repeat("()", kDeep) + " }}",
      "{{ " + repeat("1 if 1 else ", kDeep) + "1 }}",
      repeat("{% if 1 %}", kDeep) + repeat("{% endif %}", kDeep),
      repeat("{% for i in [1] %}", kDeep) + repeat("{% endfor %}", kDeep),
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a(x) %}{{ x(x) }}{% endmacro %}{{ a(a) }}",
      "{% macro a() %}{% call a() %}{{ caller() }}{% endcall %}{% endmacro %}{{ a() }}",
      "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
      "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
      "{% set n = namespace(x=[1]) %}{% for i in range(9999) %}{% set n.x = n.x|map('upper') %}{% endfor %}",
      "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
  };
  for (const std::string& text : deep) EXPECT_EQ(failure(text).code(), ErrorCode::kLimit) << text.substr(0, 60);
  EXPECT_EQ(render("{{ " + repeat("(", 60) + "1" + repeat(")", 60) + " }}{{ 1" + repeat("+1", 300) + " }}"), "1301");
}

TEST(Jinja, WorkAndMemoryAreLimited) {
  const std::string greedy[] = {
      "{{ range(1000000000) }}",
      "{{ 'a' * 100000000000 }}",
      "{{ 'a' * 9223372036854775807 }}",
      "{{ [1] * 100000000000 }}",
      "{% set n = namespace(x='a') %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "{% set n = namespace(x=['l']) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == [n.x] "
      "}}{{ n.x }}",
      "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
      "{{ 9 ** 9 ** 9 }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'a'.center(100000000000) }}",
      "{{ [1]|batch(1000000000000, 0)|list }}",
      "{{ [1]|slice(1000000000000)|list }}",
      "{{ 'a\n'|indent(1000000000) }}",
      "{{ ('a' * 2000000).rfind('b' ~ 'a' * 1000000) }}",
  };
  for (const std::string& text : greedy) EXPECT_EQ(failure(text).code(), ErrorCode::kLimit) << text.substr(0, 80);

  TemplateOptions small;
  small.limits.max_steps = 10'000;
  const ChatTemplate endless("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "t",
                             small);
  try {
    endless.render({{"messages", Json::array()}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "t:1: the template takes more than 10000 steps (an endless loop or recursion?)");
  }
}

TEST(Jinja, NeedleSearchIsLinear) {
  EXPECT_EQ(render("{{ ('a' * 1000000 ~ 'b') in ('a' * 4000000) }}{{ ('a' * 2000000).find('a' * 900000 ~ 'b') }}"),
            "False-1");
}

}  // namespace
}  // namespace glimmer
