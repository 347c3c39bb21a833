// A request whose body comes in pieces: it is held and looked at until it is whole.
//
// The owner is told exactly once how it ended, and may then take what was held. Destroying it before breaks the client's
// connection off. Belongs to the event loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/units.hpp"
#include "proxy/front/body_scan.hpp"
#include "proxy/front/form_scan.hpp"
#include "proxy/front/held_bytes.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy {

class BodySearch;

class BodySearchOwner {
 public:
  /// The body is whole and is a JSON object or a form; or this is all that will be known of it.
  virtual void on_found(BodySearch& search) = 0;
  virtual void on_refused(BodySearch& search, int status, std::string_view message) = 0;
  virtual void on_gone(BodySearch& search) = 0;

 protected:
  ~BodySearchOwner() = default;
};

class BodySearch final : public http::Resident, private http::ExchangeObserver {
 public:
  enum class Manner : std::uint8_t {
    strict,   ///< the service depends on what is found: refuses what cannot be read
    lenient,  ///< it would be good to know: goes on with what there is, up to defaults::replay_limit
    form,     ///< a form with files: goes on with what there is of it, up to defaults::max_request_held
  };
  static constexpr std::string_view too_long =
      "the request's body is longer than 32 MiB; a service takes any length at /services/NAME/";
  static constexpr std::string_view cut_short = "the body ends within its JSON object";
  static constexpr std::string_view form_cut_short = "the body ends before the last boundary of its form";

  /// `together` counts what all searches hold; the owner outlives this.
  BodySearch(http::Loop& loop, std::unique_ptr<http::Exchange> exchange, Manner manner,
             std::shared_ptr<std::size_t> together, Duration deadline, BodySearchOwner& owner);
  ~BodySearch() override;

  /// Looks at what is there. The owner may be told from inside.
  void start();

  const BodyScan& scan() const { return scan_; }
  /// Null where the body is no form.
  const FormScan* form() const { return form_ ? &*form_ : nullptr; }
  std::unique_ptr<http::Exchange> take_exchange() { return std::move(exchange_); }
  std::string take_body() { return std::move(body_); }
  HeldBytes take_held() { return std::move(held_); }

 private:
  void on_body() override;
  void on_written(std::size_t) override {}
  void on_gone() override;
  void on_deadline() override;
  void found();
  void refuse(int status, std::string_view message);
  void end();

  BodySearchOwner& owner_;
  std::unique_ptr<http::Exchange> exchange_;
  const Manner manner_;
  BodyScan scan_;
  std::optional<FormScan> form_;
  std::string body_;
  HeldBytes held_;
};

}  // namespace trireme::proxy
