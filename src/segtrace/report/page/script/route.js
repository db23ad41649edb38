// The route of the chosen organ; nothing where the network was not cut.
function showRoute() {
  const name = DATA.organs[state.organ];
  const route = Object.hasOwn(DATA.routes, name) ? DATA.routes[name] : null;
  $("route").hidden = !route;
  if (!route) return;
  $("route-words").textContent = route.sentence;
  $("route-picture").src = route.picture;
  $("route-picture").alt = `Route diagram: ${route.sentence}`;
  $("route-caution").textContent = DATA.route_caution + (state.frame === FRAMES.length - 1 ? ""
    : " It is of the last network that was cut, not of the epoch shown above.");
}
