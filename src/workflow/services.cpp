#include "workflow/services.hpp"

#include <algorithm>
#include <charconv>
#include <regex>
#include <unordered_map>

#include "core/pattern.hpp"
#include "workflow/presets.hpp"
#include "workflow/program.hpp"
#include "workflow/ranks.hpp"

namespace trireme::workflow {
namespace {

/// Whether the text is a pattern that std::regex takes. Long ones are refused: its compiler recurses.
bool is_pattern(const std::string& text) {
  constexpr std::size_t longest = 1000;
  if (text.empty() || text.size() > longest) return false;
  try {
    const std::regex pattern(text, pattern_kind);
    return true;
  } catch (const std::regex_error&) {
    return false;
  }
}

struct Url {
  bool secure = false;
  std::string_view authority;
  std::optional<std::string_view> port;
  std::string_view rest;  ///< path, query and fragment
};

std::optional<Url> split_url(std::string_view text) {
  Url url;
  if (text.starts_with("https://")) {
    url.secure = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  url.authority = text.substr(0, text.find_first_of("/?#"));
  url.rest = text.substr(url.authority.size());
  // What is in brackets is an address with colons of its own.
  const std::size_t bracket = url.authority.rfind(']');
  const std::size_t colon = url.authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const std::string_view host = url.authority.substr(0, colon);
  if (colon != std::string_view::npos) url.port = url.authority.substr(colon + 1);
  const bool clean = std::none_of(text.begin(), text.end(),
                                  [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7F'; });
  if (host.empty() || !clean) return std::nullopt;
  return url;
}

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0;
}

bool is_loopback(std::string_view authority) {
  return authority.starts_with("127.") || authority.starts_with("localhost") || authority.starts_with("[::1]");
}

bool mentions(const Template& text, std::string_view name) {
  const auto open = text.open_names();
  return std::find(open.begin(), open.end(), name) != open.end();
}

/// Whether a command, script or environment names what the runtime says of where to listen: `word` as a placeholder, or
/// `variable` in a script.
bool knows(const ServiceDescription& service, std::string_view word, std::string_view variable) {
  const auto tells = [&](const Template& text) { return mentions(text, word); };
  return std::any_of(service.command.begin(), service.command.end(), tells) ||
         std::any_of(service.env.begin(), service.env.end(), [&](const auto& one) { return tells(one.second); }) ||
         tells(service.script) || service.script.source().find(variable) != std::string::npos;
}
bool knows_port(const ServiceDescription& service) {
  return knows(service, "port", "PORT");
}
bool knows_socket(const ServiceDescription& service) {
  return knows(service, "socket", "SOCKET");
}

class ServiceReader {
 public:
  ServiceReader(const Reader& reader, const Value& value, const Value& key)
      : reader_(reader), key_(key), fields_(reader, value.node, value.path) {}

  ServiceDescription read(ServiceOrigin& origin) {
    read_program(fields_, reader_, key_, true, service_.command, service_.script);
    read_replicas();
    read_probes();
    read_restart();
    read_requests();
    read_models();
    read_remotes();
    origin.at = key_.at;
    origin.environment = node_of(fields_.take("environment"));
    fields_.text("environment", service_.environment);
    origin.uses = node_of(fields_.take("uses"));
    fields_.texts("uses", service_.uses);
    origin.after = node_of(fields_.take("after"));
    fields_.texts("after", service_.after);
    fields_.variables("env", service_.env);
    fields_.text("cwd", service_.cwd);
    fields_.finish();
    check();
    return std::move(service_);
  }

 private:
  void read_replicas() {
    const auto value = fields_.take("replicas");
    if (value && value->node.is_map()) {
      Fields range(reader_, value->node, value->path);
      std::uint32_t least = 1;
      std::uint32_t most = 1;
      range.integer("min", least, 1);
      const bool has_most = range.has("max");
      range.integer("max", most, 1);
      range.duration("cooldown", service_.cooldown, Zero::allowed);
      range.finish();
      if (!has_most) {
        reader_.error(*value, "max is missing", "a map with min and max, or a number");
      } else if (most < least) {
        reader_.error(*value, "max is less than min", "max: " + std::to_string(least) + " or more");
      }
      service_.replicas = least;
      if (most > least) service_.replicas_max = most;
    } else {
      fields_.integer("replicas", service_.replicas, 1);
    }
    read_ranks(fields_, reader_, {service_.ranks, service_.mpi, service_.per_rank, service_.ranks_per_node});
    fields_.duration("uptime", service_.uptime, Zero::allowed);
    if (const auto priority = fields_.take("priority")) {
      if (const auto read = reader_.integer(*priority, -highest_priority, highest_priority)) {
        service_.priority = static_cast<std::int32_t>(*read);
      }
    }
  }

  /// Reads which of the probes stands in the map: exactly one, or none where `optional`.
  void read_kind(Fields& fields, const Value& value, std::initializer_list<std::string_view> kinds, bool optional,
                 Probe::Kind& kind, Template& argument) {
    std::size_t found = 0;
    for (std::string_view name : kinds) {
      const auto probe = fields.take(name);
      if (!probe) continue;
      if (++found > 1) {
        reader_.error(*probe, "there is another probe already", "one of " + enumerate(kinds));
        continue;
      }
      if (name == "tcp") {
        kind = Probe::Kind::tcp;
        const auto on = reader_.boolean(*probe);
        if (on && !*on) reader_.error(*probe, "found false", "true, or another probe");
        continue;
      }
      auto text = reader_.parse(*probe, Template::Mode::strict);
      if (!text) continue;
      // A placeholder may stand for any text that is plain.
      const std::string source = *text->expand([](std::string_view) { return std::optional<std::string>("0"); });
      if (name == "http") {
        kind = Probe::Kind::http;
        if (!source.starts_with('/')) {
          reader_.error(*probe, in_quotes(source) + " does not start with a slash", "a path such as /health");
        }
      } else if (name == "stdout") {
        kind = Probe::Kind::stdout_regex;
        if (!is_pattern(source)) {
          reader_.error(*probe, in_quotes(source) + " is no regular expression",
                        "one in the grammar of ECMAScript, without back-references");
        }
      } else {
        kind = Probe::Kind::file;
        if (source.empty()) reader_.error(*probe, "the path is empty", "the path of a file");
      }
      argument = std::move(*text);
    }
    if (found == 0 && !optional) {
      reader_.error(value, "there is no probe", "one of " + enumerate(kinds));
    }
  }

  void read_probes() {
    if (const auto value = fields_.take("ready");
        value && expect_map(reader_, *value, "a map such as {http: /health}")) {
      Fields ready(reader_, value->node, value->path);
      read_kind(ready, *value, {"http", "tcp", "stdout", "file"}, true, service_.ready.kind, service_.ready.argument);
      ready.duration("timeout", service_.ready.timeout, Zero::refused);
      ready.finish();
    }
    if (const auto value = fields_.take("live");
        value && expect_map(reader_, *value, "a map such as {http: /health}")) {
      Liveness live;
      Fields fields(reader_, value->node, value->path);
      read_kind(fields, *value, {"http", "tcp"}, false, live.kind, live.argument);
      fields.duration("every", live.every, Zero::refused);
      fields.integer("failures", live.failures, 1);
      fields.finish();
      service_.live = std::move(live);
    }
  }

  void read_restart() {
    const auto value = fields_.take("restart");
    if (!value || !expect_map(reader_, *value, "a map with max and backoff")) return;
    Fields restart(reader_, value->node, value->path);
    restart.integer("max", service_.restart_max, 0);
    restart.duration("backoff", service_.restart_backoff, Zero::allowed);
    restart.finish();
  }

  void read_requests() {
    fields_.choice<ServiceApi>("api", service_.api,
                               {{"openai", ServiceApi::openai},
                                {"ollama", ServiceApi::ollama},
                                {"http", ServiceApi::http},
                                {"native", ServiceApi::native}});
    fields_.integer("concurrency", service_.concurrency, 1);
    fields_.integer("queue", service_.queue, 0);
    fields_.choice<PolicyKind>("policy", service_.policy,
                               {{"round_robin", PolicyKind::round_robin},
                                {"random", PolicyKind::random},
                                {"power_of_two", PolicyKind::power_of_two},
                                {"least_outstanding", PolicyKind::least_outstanding},
                                {"hash", PolicyKind::hash},
                                {"prefix", PolicyKind::prefix}});
    // An inference may be repeated; what an http or native service does with a request is its own affair.
    service_.retry = has_models() ? RetryKind::always : RetryKind::safe;
    fields_.choice<Preference>(
        "prefer", service_.prefer,
        {{"local", Preference::local}, {"remote", Preference::remote}, {"none", Preference::none}});
    fields_.choice<RetryKind>("retry", service_.retry, {{"always", RetryKind::always}, {"safe", RetryKind::safe}});
    fields_.duration("drain", service_.drain, Zero::allowed);
  }

  void read_models() {
    const auto value = fields_.take("models");
    if (!value) return;
    for_each_item(*value, [&](const Value& item) {
      Model model;
      if (item.node.is_map()) {
        Fields fields(reader_, item.node, item.path);
        fields.text("name", model.name);
        fields.text("upstream", model.upstream);
        fields.finish();
        if (!fields.has("name")) {
          reader_.error(item, "name is missing", "a map with name and upstream");
          return;
        }
      } else if (auto name = reader_.text(item, "a name, or a map with name and upstream")) {
        model.name = std::move(*name);
        if (model.name.empty()) reader_.error(item, "the name is empty", "the name of a model");
      }
      if (!model.name.empty()) service_.models.push_back(std::move(model));
    });
    if (!has_models()) {
      reader_.warning(*value, "models are looked up for openai and ollama only", "set api: openai or api: ollama");
    }
  }

  void read_remotes() {
    const auto value = fields_.take("remote");
    if (!value) return;
    constexpr std::string_view expected = "a list of endpoints, each a map with a url";
    if (!value->node.is_list()) {
      reader_.unexpected(*value, std::string(expected));
      return;
    }
    if (value->node.items.empty()) {
      reader_.error(*value, "the list is empty", std::string(expected));
    }
    for_each_item(*value, [&](const Value& item) {
      if (!expect_map(reader_, item, "a map with a url")) return;
      service_.remote.push_back(read_remote(item));
    });
  }

  RemoteEndpoint read_remote(const Value& item) {
    RemoteEndpoint remote;
    Fields fields(reader_, item.node, item.path);
    std::optional<Url> url;
    if (const auto value = fields.take("url")) {
      if (auto text = reader_.text(*value, "a URL")) {
        url = split_url(*text);
        if (!url) {
          reader_.error(*value, in_quotes(*text) + " is no URL of a server", "http:// or https:// and a host");
        } else if (url->authority.find('@') != std::string_view::npos) {
          reader_.error(*value, "the URL holds a user or a password", "a URL without",
                        "keys go into key_env or key_file");
        } else if (url->port && !is_port(*url->port)) {
          reader_.error(*value, "the URL's port is no number from 1 to 65535",
                        "a port that a server can have, or none");
        } else if (const std::size_t end = url->rest.find_first_of("?#"); end != std::string_view::npos) {
          // It is not repeated: there are keys in queries.
          reader_.error(*value, std::string("the URL holds a ") + (url->rest[end] == '?' ? "query" : "fragment"),
                        "a URL that ends with its path", "keys go into key_env or key_file");
        }
        remote.url = std::move(*text);
        url = split_url(remote.url);
      }
    } else {
      reader_.error(item, "url is missing", "http:// or https:// and a host");
    }
    const auto key_env = fields.take("key_env");
    fields.text("key_env", remote.key_env);
    if (key_env && !remote.key_env.empty() && !is_identifier(remote.key_env)) {
      // The value is not repeated: it may be the key itself.
      reader_.error(*key_env, "this is no name of an environment variable",
                    "the name of the variable that holds the key");
    }
    const auto key_file = fields.take("key_file");
    fields.text("key_file", remote.key_file);
    if (key_env && key_file) {
      reader_.error(*key_file, "there is a key_env already", "one of the two");
    }
    const auto ca_file = fields.take("ca_file");
    fields.text("ca_file", remote.ca_file);
    make_absolute(remote.key_file);
    make_absolute(remote.ca_file);
    if (url && !url->secure && ca_file) {
      reader_.error(*ca_file, "certificates are for https", "a url that starts with https://");
    }
    if (url && !url->secure && (key_env || key_file) && !is_loopback(url->authority)) {
      reader_.warning(key_env ? *key_env : *key_file, "the key goes over the network in the clear", "use https");
    }
    fields.integer("concurrency", remote.concurrency, 1);
    fields.integer("requests_per_minute", remote.requests_per_minute, 1);
    fields.finish();
    return remote;
  }

  void make_absolute(std::string& path) const {
    if (path.empty()) return;
    Template text = Template::literal(std::move(path));
    text.make_absolute(reader_.scope().workflow_dir());
    path = *text.expand([](std::string_view) { return std::nullopt; });
  }

  bool has_models() const { return service_.api == ServiceApi::openai || service_.api == ServiceApi::ollama; }

  void check() {
    const bool has_program = fields_.has("command") || fields_.has("script");
    if (!has_program && !fields_.has("remote")) {
      reader_.error(key_, "there is nothing to run and nowhere to send requests", "a command, a script or remote");
    }
    if (!has_program) {
      for (std::string_view key : {"replicas",       "ranks", "mpi",           "ranks_per_node", "cores",
                                   "cores_per_rank", "gpus",  "gpus_per_rank", "memory",         "memory_per_rank",
                                   "ready",          "live",  "restart",       "drain",          "env",
                                   "environment",    "cwd",   "uses",          "prefer",         "uptime",
                                   "priority",       "after"}) {
        if (!fields_.has(key)) continue;
        reader_.warning(*fields_.take(key), "this has no effect: the service has no command");
      }
      return;
    }
    if (fields_.has("prefer") && !fields_.has("remote")) {
      reader_.warning(*fields_.take("prefer"), "this has no effect: the service has no remote endpoints");
    }
    const bool probed = service_.ready.kind == Probe::Kind::http || service_.ready.kind == Probe::Kind::tcp;
    const bool broken = !service_.has_replicas();  // reported already
    const bool native = service_.api == ServiceApi::native;
    if (native && !broken && knows_port(service_) && !knows_socket(service_)) {
      reader_.error(*fields_.take("api"), "a native service listens at a unix socket, and this one is told a port",
                    "{socket} in its command, script or env");
    }
    if (probed && !broken && !native && !knows_port(service_) && !knows_socket(service_)) {
      reader_.warning(key_, "nothing tells the service where to listen",
                      "put {port} or {socket} into its command or env");
    }
  }

  const Reader& reader_;
  const Value& key_;
  Fields fields_;
  ServiceDescription service_;
};

/// "TRIREME_SERVICE_NAME_URL": what tasks are given.
std::string variable_of(const std::string& service) {
  std::string out = "TRIREME_SERVICE_";
  for (char c : service) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (c >= 'a' && c <= 'z') {
      out += static_cast<char>(c - 'a' + 'A');
    } else {
      out += plain ? c : '_';
    }
  }
  return out + "_URL";
}

}  // namespace

Services read_services(const Value& section, Parameters& parameters, std::string_view workflow_dir,
                       Diagnostics& diagnostics) {
  Services services;
  const Scope scope(parameters, workflow_dir, service_names);
  const Reader reader(scope, diagnostics);
  std::unordered_map<std::string, std::string> variables;  // to the service that they stand for
  std::unordered_map<std::string, std::string> models;     // to the service that has them
  for (const Entry& entry : section.node.entries) {
    const Value value{entry.value, Path(section.path, entry.key), entry.at()};
    const Value key{entry.value, value.path, entry.key_at};
    if (!check_name(reader, key, entry.key)) continue;
    if (!expect_map(reader, value, "a map with a command, a script or remote")) continue;
    const auto [variable, fresh] = variables.emplace(variable_of(entry.key), entry.key);
    if (!fresh) {
      reader.error(key, "tasks could not tell it from the service " + in_quotes(variable->second), "",
                   "both would be " + variable->first);
    }
    ServiceOrigin origin;
    Variables preset_variables;
    auto merged = with_preset(reader, value, preset_variables);
    if (!merged) continue;
    const Node& map = services.maps.emplace_back(std::move(*merged));
    const Value whole{map, value.path, value.at};
    const Scope own_scope(parameters, workflow_dir, service_names, &preset_variables);
    const Reader own_reader(own_scope, diagnostics);
    ServiceDescription service = ServiceReader(own_reader, whole, key).read(origin);
    service.name = entry.key;
    const auto where = Fields(reader, map, value.path).take("models");
    for (const Model& model : service.models) {
      const auto [first, is_new] = models.emplace(model.name, entry.key);
      if (is_new) continue;
      reader.error(*where,
                   "the model " + in_quotes(model.name) + " is in the service " + in_quotes(first->second) + " already",
                   "", "each model belongs to one service");
    }
    services.all.push_back(std::move(service));
    services.origins.push_back(origin);
  }
  return services;
}

std::vector<EnvironmentDescription> read_environments(const Value& section, Parameters& parameters,
                                                      std::string_view workflow_dir, Diagnostics& diagnostics) {
  std::vector<EnvironmentDescription> out;
  const Scope scope(parameters, workflow_dir, common_names);
  const Reader reader(scope, diagnostics);
  for (const Entry& entry : section.node.entries) {
    const Value value{entry.value, Path(section.path, entry.key), entry.at()};
    const Value key{entry.value, value.path, entry.key_at};
    if (!check_name(reader, key, entry.key)) continue;
    if (!expect_map(reader, value, "a map with setup")) continue;
    EnvironmentDescription environment;
    environment.name = entry.key;
    Fields fields(reader, value.node, value.path);
    if (!fields.has("setup")) reader.error(key, "setup is missing", "lines for bash");
    fields.text("setup", environment.setup, Template::Mode::script);
    fields.finish();
    out.push_back(std::move(environment));
  }
  return out;
}

}  // namespace trireme::workflow
