import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { Link, parse, path, useRoute, views } from "./routes";

afterEach(cleanup);

it("reads every path that it makes", () => {
  for (const view of views) expect(parse(path(view))).toEqual({ view, id: undefined });
  expect(parse(path("simulations", "a/b c"))).toEqual({ view: "simulations", id: "a/b c" });
  for (const unknown of ["/", "/overview", "/nothing/x", "//"]) expect(parse(unknown).view).toBe("overview");
  expect(parse("/simulations/%E0%A4%A").id).toBeUndefined();
});

it("goes to another view without loading the page, and back", () => {
  function Where() {
    return <p>{useRoute().view}</p>;
  }
  render(
    <>
      <Link to={path("events")}>to events</Link>
      <Where />
    </>,
  );
  fireEvent.click(screen.getByRole("link"));
  expect(screen.getByText("events")).toBeTruthy();
  expect(window.location.pathname).toBe("/events");
  // Another tab is the browser's matter.
  expect(fireEvent.click(screen.getByRole("link"), { ctrlKey: true })).toBe(true);
});
