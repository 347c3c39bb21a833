// Both ends of the native protocol in C++: requests that cost microseconds, over the unix socket of the task's own node.
//
// A client, in a task:
//
//   trireme::native::Client client;                                  // where TRIREME_SOCKET says
//   auto answer = client.request("noop", "hello");
//   if (answer) use(answer->body); else complain(answer.failure().what);
//
//   auto one = client.submit({.service = "noop", .body = "1"});      // under way; any number at a time, from any thread
//   auto two = client.submit({.service = "noop", .body = "2"});
//   one.get(); two.get();
//
// A service (`api: native`, `command: [./double, "{socket}"]`):
//
//   struct Double : trireme::native::Service {
//     Response handle(const Request& request) override { return {.body = twice(request.body())}; }
//   };
//   int main(int, char** argv) { return Double().serve(argv[1]) ? 0 : 1; }
//
// Programs link `trireme_native` (CMake: trireme::native; pkg-config: trireme-native); there is no MPI in it. How frames look is in
// docs/spec/native.md.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme::native {

struct Header {
  std::string name;  ///< compared without regard to case
  std::string value;
};
using Headers = std::vector<Header>;

struct Response {
  int status = 200;  ///< as HTTP's
  Headers headers;
  std::string body;

  /// The first value of a header, or nothing.
  std::optional<std::string_view> header(std::string_view name) const;
};

/// Why there is no answer.
struct Failure {
  enum class Kind {
    unreachable,  ///< there is no connection to the proxy: the request has not left
    lost,         ///< the connection, or the answer, broke off; the service may have seen the request
    deadline,     ///< no answer came in time; the request has been cancelled
    cancelled,    ///< by cancel()
    invalid,      ///< it fits no frame, or its headers are none
    busy,         ///< from inside a callback only: as many are in progress as the proxy allows
  };
  Kind kind = Kind::lost;
  std::string what;  ///< in words for the user
};

/// An answer, whatever its status, or why there is none.
class [[nodiscard]] Outcome {
 public:
  Outcome() = default;
  Outcome(Response response) : response_(std::move(response)), ok_(true) {}
  Outcome(Failure failure) : failure_(std::move(failure)) {}

  explicit operator bool() const { return ok_; }
  Response& operator*() { return response_; }
  const Response& operator*() const { return response_; }
  Response* operator->() { return &response_; }
  const Response* operator->() const { return &response_; }
  const Failure& failure() const { return failure_; }

 private:
  Response response_;
  Failure failure_;
  bool ok_ = false;
};

using Span = std::chrono::nanoseconds;
constexpr Span default_deadline = std::chrono::minutes(10);

/// A request. What it views must live until the function that it is given to returns.
struct Call {
  std::string_view service;
  std::string_view body;
  std::string_view path = "/";
  std::string_view method = "POST";
  std::span<const Header> headers{};
  Span deadline = default_deadline;  ///< until the whole answer is here
};

struct ClientOptions {
  std::string socket;                         ///< of the node's proxy; empty: what TRIREME_SOCKET says
  std::optional<std::string> token{};         ///< none: what TRIREME_TOKEN says
  Span spin = std::chrono::microseconds(200);  ///< how long a waiting thread looks for its answer before it sleeps
  Span connect_timeout = std::chrono::seconds(30);
};

class Connection;
struct Progress;

/// A request under way; copies are the same one. One thread at a time waits for it, and any other may cancel() it meanwhile or ask
/// whether it is done(), through the same object or a copy.
class Pending {
 public:
  Pending() = default;
  /// Waits for the outcome, until the request's deadline at most. Once: after that it is `invalid`.
  Outcome get();
  /// Whether get() would return at once.
  bool done() const;
  /// Waits for at most so long; then whether it is done. The request goes on.
  bool wait_for(Span most);
  /// Its outcome is `cancelled`, if it has none yet.
  void cancel();

 private:
  friend class Client;
  Pending(std::shared_ptr<Connection> connection, std::shared_ptr<Progress> progress)
      : connection_(std::move(connection)), progress_(std::move(progress)) {}
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Progress> progress_;
};

/// Requests over one connection to the proxy of this node. Any number of threads use it at a time. It connects at the first
/// request, and anew at the next after the connection has ended.
class Client {
 public:
  explicit Client(ClientOptions options = {});
  /// Requests in progress have the outcome `lost`.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// One request and its answer.
  Outcome request(const Call& call);
  Outcome request(std::string_view service, std::string_view body, Span deadline = default_deadline) {
    return request(Call{.service = service, .body = body, .deadline = deadline});
  }
  /// Sends it and does not wait for the answer. Waits while as many are in progress as the proxy allows (1024).
  Pending submit(const Call& call);
  /// The same; `done` is called with the outcome, exactly once, on a thread of the client or one that waits for another
  /// request, and must not wait for one itself. It may submit more.
  void submit(const Call& call, std::function<void(Outcome)> done);
  /// While one of these lives, requests are gathered; those of this client leave together when the last is gone, or when
  /// somebody waits for one.
  class Gather {
   public:
    explicit Gather(Client& client);
    ~Gather();
    Gather(const Gather&) = delete;
    Gather& operator=(const Gather&) = delete;

   private:
    Client& client_;
  };

 private:
  std::shared_ptr<Connection> connection_;
};

// ---- A service ----------------------------------------------------------------------------------

/// A request as a service sees it. What it returns are views that live as long as it does.
class Request {
 public:
  Request();
  ~Request();
  Request(Request&&) noexcept;
  Request& operator=(Request&&) noexcept;

  std::string_view method() const { return method_; }
  /// What is left of it behind /services/NAME, with the query.
  std::string_view target() const { return target_; }
  std::string_view body() const { return body_; }
  std::optional<std::string_view> header(std::string_view name) const;
  Headers headers() const;
  /// Nobody wants its answer any more.
  bool cancelled() const;

 private:
  friend class ServiceConnection;
  struct Shared;
  std::string_view method_;
  std::string_view target_;
  std::string_view fields_;
  std::uint16_t field_count_ = 0;
  std::string_view body_;
  std::uint64_t id_ = 0;
  std::unique_ptr<Shared> own_;  ///< what the views point into, where it outlives the frame that it came in
};

struct ServiceOptions {
  unsigned threads = 1;                       ///< that handle requests; 1: the thread that reads them does
  std::size_t max_batch = 1;                  ///< above 1: handle_batch() is given up to so many
  Span max_delay{};                           ///< how long the first of a batch waits for others
  std::string key;                            ///< {key}, where the command names it
  Span spin = std::chrono::microseconds(200);  ///< how long a thread looks for the next request before it sleeps
};

class Service {
 public:
  using Request = native::Request;
  using Response = native::Response;

  explicit Service(ServiceOptions options = {});
  virtual ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// May be called from several threads at a time where there are several. What it throws is the answer, with 500.
  virtual Response handle(const Request& request);
  /// As many answers as requests. By default handle() of each.
  virtual std::vector<Response> handle_batch(std::span<const Request> requests);

  /// Listens at the unix socket `path` ({socket} in the workflow file) until SIGTERM or stop(); then answers what it has and
  /// returns. To be called before the program starts threads of its own, because it blocks SIGTERM. False where it cannot
  /// listen: error() says why.
  bool serve(const std::string& path);
  /// From any thread, or from a handler.
  void stop();
  const std::string& error() const { return error_; }
  const ServiceOptions& options() const { return options_; }

 private:
  ServiceOptions options_;
  std::string error_;
  int stop_ = -1;  ///< an eventfd: readable once it shall end
};

}  // namespace trireme::native
