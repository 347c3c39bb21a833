// Where clients' requests come in: who may ask, what is answered here, and which service everything else is for.
//
// The service is named by the path (/services/NAME/…) or by the model in a JSON body. A body that has arrived whole with its
// head is looked at in place; one that comes in pieces is held by a BodySearch until it is whole, because a second `model`
// at its end would be read differently by different servers. What is held is bounded for each request
// (defaults::max_request_held, else 413) and for all of them together (defaults::max_held_together, else 429). Where a
// service knows the model by another name, that name replaces the client's in the body, and nothing else is changed. A form with
// files has the model in a field; one that is longer than what is held goes on with what has been seen of it.
//
// docs/spec/http.md is the contract. Belongs to the event loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/run_info.hpp"
#include "proxy/admission/dispatcher.hpp"
#include "proxy/endpoints.hpp"
#include "proxy/front/body_scan.hpp"
#include "proxy/front/body_search.hpp"
#include "proxy/front/catalog.hpp"
#include "proxy/front/form_scan.hpp"
#include "proxy/front/held_bytes.hpp"
#include "proxy/front/route.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy {

/// A request whose service is known.
struct Start {
  std::unique_ptr<http::Exchange> exchange;
  http::RequestHead head;  ///< as an upstream shall see it, with its X-Request-Id
  std::string body;        ///< of the request, as far as it has been taken from the exchange
  HeldBytes held;          ///< what `body` counts for
  Demand demand;
  Dialect dialect = Dialect::openai;  ///< of refusals
  bool stream = false;                ///< the client asked for one
  Affinity affinity;
};

/// What the front door needs of its rank's proxy.
class FrontHost {
 public:
  virtual const EndpointTable& table() const = 0;
  virtual std::string metrics_text() = 0;
  virtual void start(Start&& start) = 0;
  /// A request under /runtime that may be made.
  virtual void ask_pilot(std::unique_ptr<http::Exchange> exchange) = 0;
  /// A request under /dashboard, which nobody has judged yet; false where this rank has none.
  virtual bool open_dashboard(std::unique_ptr<http::Exchange>& exchange) = 0;

 protected:
  ~FrontHost() = default;
};

class FrontDoor final : private BodySearchOwner {
 public:
  FrontDoor(http::Loop& loop, const RunInfo& run, FrontHost& host);

  /// A request of a client.
  void handle(std::unique_ptr<http::Exchange> exchange);
  /// The host's table has changed.
  void apply() { catalog_.apply(host_.table()); }
  /// Breaks off what has not found its service yet.
  void close() { searches_.clear(); }

  /// A number for a request that brings none.
  void append_request_id(std::string& out);

  /// Requests that were refused before their service was known, by status.
  const std::map<int, std::uint64_t>& refused() const { return refused_; }

 private:
  struct Arrival {
    Route route;
    Wishes wishes;
    MonoTime at = 0;
    std::optional<ServiceIndex> service{};  ///< known from the path
  };
  void answer_here(http::Exchange& exchange, const Route& route);
  void by_service(std::unique_ptr<http::Exchange> exchange, Arrival arrival);
  void by_model(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival);
  /// What of the body is replaced.
  struct Rename {
    BodyScan::Place place;
    std::string text;
  };
  void by_form(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival);
  void found(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival, const BodyScan& scan,
             const FormScan* form, std::string body, HeldBytes held);
  void start(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival, const Service& service,
             const BodyScan& scan, const std::optional<Rename>& rename, std::string body, HeldBytes held);
  void search(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival, BodySearch::Manner manner);
  void refuse(http::Exchange& exchange, Dialect dialect, int status, std::string_view message,
              std::string_view code = {}, http::Headers headers = {});

  // BodySearchOwner
  void on_found(BodySearch& search) override;
  void on_refused(BodySearch& search, int status, std::string_view message) override;
  void on_gone(BodySearch& search) override;
  void bury(BodySearch& search);

  http::Loop& loop_;
  const RunInfo& run_;
  FrontHost& host_;
  Catalog catalog_;
  BodyScan scan_;  ///< of bodies that are whole
  std::shared_ptr<std::size_t> held_together_ = std::make_shared<std::size_t>(0);
  struct Search {
    std::unique_ptr<BodySearch> body;
    Arrival arrival;
  };
  std::unordered_map<BodySearch*, Search> searches_;
  std::map<int, std::uint64_t> refused_;
  std::string request_id_;                  ///< of the request that is being started
  const std::string request_id_beginning_;  ///< of those that are made here
  std::uint64_t request_count_ = 0;
};

}  // namespace trireme::proxy
