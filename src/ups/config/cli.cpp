#include "ups/config/cli.h"

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string_view>
#include <typeinfo>

#include "ups/config/errors.h"
#include "ups/core/log.h"
#include "ups/core/text.h"

#ifndef UPS_VERSION
#define UPS_VERSION "0.0.0"
#endif
#ifndef UPS_COMMIT
#define UPS_COMMIT "unknown"
#endif

namespace ups::config {
namespace {

// Thrown out of CLI11's parser by --version, so that the text goes to stdout like help does.
struct VersionCall {};

std::string one_line(const Error& e, const char* program, bool json) {
  if (!json) return std::string(program) + ": " + e.line() + "\n";
  const nlohmann::json body = {{"code", static_cast<int>(e.code())},
                               {"place", escape_text(e.place())},
                               {"message", escape_text(e.message())},
                               {"hint", escape_text(e.hint())}};
  return nlohmann::json{{"error", body}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// The subcommand whose options the user was typing.
const CLI::App* innermost(const CLI::App* app) {
  const auto subs = app->get_subcommands();
  return subs.empty() ? app : innermost(subs.back());
}

void collect_options(const CLI::App* app, std::vector<std::string>& out) {
  for (const CLI::Option* o : app->get_options()) {
    for (const auto& n : o->get_lnames()) out.push_back("--" + n);
  }
}

std::vector<std::string> verbs(const CLI::App* app) {
  std::vector<std::string> out;
  for (const CLI::App* s : app->get_subcommands(nullptr)) out.push_back(s->get_name());
  return out;
}

Error extras_error(const CLI::App& app, const char* program) {
  const auto rest = app.remaining(true);
  const std::string word = rest.empty() ? "?" : rest.front();
  const CLI::App* where = innermost(&app);
  std::vector<std::string> known;
  std::string what;
  if (starts_with(word, "-")) {
    collect_options(where, known);
    if (where != &app) collect_options(&app, known);
    const std::string flag = word.substr(0, word.find('='));
    what = "unknown option '" + flag + "'";
    const std::string near = nearest(flag, known);
    if (!near.empty()) return usage_error("", what, "did you mean '" + near + "'?");
  } else {
    known = verbs(where);
    what = known.empty() ? "unexpected argument '" + word + "'" : "unknown command '" + word + "'";
    const std::string near = nearest(word, known);
    if (!near.empty()) return usage_error("", what, "did you mean '" + near + "'?");
    if (!known.empty()) return usage_error("", what, "commands: " + join(known, ", "));
  }
  return usage_error("", what, std::string("see ") + program + " --help");
}

// "--epochs: 1 required INT missing" -> "--epochs". CLI11 names the option first in most messages.
std::string option_in(const std::string& text) {
  const size_t at = text.find("--");
  if (at == std::string::npos) return {};
  const size_t end = text.find_first_of(" :,=", at);
  return text.substr(at, end == std::string::npos ? end : end - at);
}

Error translate(const CLI::App& app, const CLI::ParseError& e, const char* program) {
  const std::string text = e.what();
  const std::string help = std::string("see ") + program + " --help";
  if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr) return extras_error(app, program);
  if (dynamic_cast<const CLI::RequiredError*>(&e) != nullptr) {
    if (!app.remaining(true).empty()) return extras_error(app, program);  // a mistyped command, not a forgotten option
    if (text.find("subcommand") != std::string::npos) {
      const auto known = verbs(innermost(&app));
      return usage_error("", "a command is required", "one of: " + join(known, ", ") + "; " + help);
    }
    return usage_error("", text, help);
  }
  if (dynamic_cast<const CLI::ConversionError*>(&e) != nullptr) {
    const std::string option = option_in(text);
    const size_t eq = text.find(" = ");
    const std::string value = eq == std::string::npos ? "" : text.substr(eq + 3);
    if (!option.empty() && eq != std::string::npos) return usage_error(option, "cannot read the value '" + value + "'", help);
    return usage_error(option, text, help);
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&e) != nullptr) {
    const std::string option = option_in(text);
    if (text.find("missing") != std::string::npos) return usage_error(option, "needs a value", help);
    return usage_error(option, "given more than once, or with too many values", help);
  }
  return usage_error("", text, help);
}

int report(const char* program, const Error& e, bool json) {
  std::fputs(error_text(program, e, json).c_str(), stderr);
  return static_cast<int>(e.code());
}

// c10::OutOfMemoryError, known here by its type's name because this library does not see LibTorch.
bool is_out_of_memory(const std::exception& e) {
  return std::string_view(typeid(e).name()).find("OutOfMemoryError") != std::string_view::npos;
}

void apply(const CommonFlags& flags) {
  log::Level level{};
  if (!log::parse_level(flags.log_level, level))
    throw usage_error("--log-level", "unknown level '" + flags.log_level + "'", "one of: debug, info, warn, error, off");
  if (flags.quiet && static_cast<int>(level) < static_cast<int>(log::Level::warn)) level = log::Level::warn;
  log::set_level(level);
}

int parse(const char* program, int argc, char** argv, CLI::App& app, const CommonFlags& flags, bool& go_on) {
  try {
    app.parse(argc, argv);
    go_on = true;
    return 0;
  } catch (const VersionCall&) {
    std::printf("%s %s\n", program, version_text().c_str());
    if (!flags.version_details.empty()) std::printf("%s\n", flags.version_details.c_str());
    return 0;
  } catch (const CLI::Success& e) {  // --help
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return report(program, translate(app, e, program), flags.log_json);
  }
}

}  // namespace

void add_common(CLI::App& app, CommonFlags& flags) {
  app.option_defaults()->group("Common");
  app.add_option("--log-level", flags.log_level, "Console log level: debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->capture_default_str();
  app.add_flag("--log-json", flags.log_json, "Print errors as JSON objects");
  app.add_flag("--quiet", flags.quiet, "Print warnings and errors only");
  app.add_flag_callback("--version", [] { throw VersionCall{}; }, "Print version, commit and compiler, then exit");
  app.option_defaults()->group("Options");
}

std::string version_text() {
  std::string s = UPS_VERSION " (commit " UPS_COMMIT;
#if defined(__clang__)
  s += ", clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__);
#elif defined(__GNUC__)
  s += ", g++ " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
#endif
  return s + ")";
}

std::string error_text(const char* program, const Error& error, bool json) {
  const auto* many = dynamic_cast<const ConfigErrors*>(&error);
  if (many == nullptr) return one_line(error, program, json);
  std::string out;
  for (const Error& e : many->errors()) out += one_line(e, program, json);
  if (many->total() > many->errors().size() && !json) {
    out += std::string(program) + ": and " + std::to_string(many->total() - many->errors().size()) + " more errors\n";
  }
  return out;
}

int run_main(const char* program, int argc, char** argv, CLI::App& app, CommonFlags& flags, const std::function<int()>& body) {
  try {
    bool go_on = false;
    const int code = parse(program, argc, argv, app, flags, go_on);
    if (!go_on) return code;
    apply(flags);
    return body();
  } catch (const Error& e) {
    return report(program, e, flags.log_json);
  } catch (const std::bad_alloc&) {
    return report(program, Error(ExitCode::memory, "", "out of memory", "reduce the batch size or data.memory_budget"),
                  flags.log_json);
  } catch (const std::exception& e) {
    if (is_out_of_memory(e))
      return report(program, Error(ExitCode::memory, "", "out of device memory", "reduce the batch size"), flags.log_json);
    const std::string text = e.what();  // LibTorch appends a stack trace: the first line is the message
    return report(program, Error(ExitCode::internal, "internal error", text.substr(0, text.find('\n')), "please report this"),
                  flags.log_json);
  } catch (...) {
    return report(program, Error(ExitCode::internal, "internal error", "unknown exception", "please report this"),
                  flags.log_json);
  }
}

}  // namespace ups::config
