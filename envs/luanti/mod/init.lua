-- The task of an episode: a clearing with one tree, a player who looks across it, and a file that tells
-- after every server step where the player is and how many trunk nodes have been dug.

local STATE_FILE = minetest.get_worldpath() .. "/state.json"
local RADIUS = 7        -- of the clearing, in nodes
local HEADROOM = 10     -- free nodes above its ground
local TRUNK = 4         -- nodes
local SPRINT = 1.3      -- speed of a sprint over that of a walk, as in Minecraft

local function setting(name)
	return tonumber(minetest.settings:get("playloop_" .. name))
end

local tree = {distance = setting("tree_distance"), bearing = math.rad(setting("tree_bearing"))}
local state = {ready = false, step = 0, logs = 0}

-- Nobody reads the chat here.
minetest.send_join_message = function() end

-- The first place with dry ground, walking outwards from the origin in squares: no chance is involved.
local function dry_ground()
	for ring = 0, 60 do
		for i = -ring, ring do
			for j = -ring, ring do
				if math.max(math.abs(i), math.abs(j)) == ring then
					local x, z = 48 * i, 48 * j
					local y = minetest.get_spawn_level(x, z)
					if y and y > 3 then
						return vector.new(x, y, z)
					end
				end
			end
		end
	end
	return vector.new(0, 20, 0)
end

-- The highest node of the ground in the column of `pos`, as position and name.
local function ground(pos)
	for y = pos.y + 16, pos.y - 16, -1 do
		local at = vector.new(pos.x, y, pos.z)
		local name = minetest.get_node(at).name
		if minetest.get_item_group(name, "soil") > 0 or minetest.get_item_group(name, "sand") > 0
				or minetest.get_item_group(name, "stone") > 0 then
			return at, name
		end
	end
	return pos, "default:dirt_with_grass"
end

local function fill(corner, opposite, name)
	local all = {}
	for x = corner.x, opposite.x do
		for y = corner.y, opposite.y do
			for z = corner.z, opposite.z do
				all[#all + 1] = vector.new(x, y, z)
			end
		end
	end
	minetest.bulk_set_node(all, {name = name})
end

local function plant(foot)
	local top = vector.offset(foot, 0, TRUNK, 0)
	fill(vector.offset(top, -2, -1, -2), vector.offset(top, 2, 0, 2), "default:leaves")
	fill(vector.offset(top, -1, 1, -1), vector.offset(top, 1, 1, 1), "default:leaves")
	fill(foot, vector.offset(top, 0, -1, 0), "default:tree")
end

-- Levels a clearing at the centre and plants the tree; returns where the player stands and the tree's foot.
local function build(centre)
	local floor, name = ground(centre)
	fill(vector.offset(floor, -RADIUS, 1, -RADIUS), vector.offset(floor, RADIUS, HEADROOM, RADIUS), "air")
	fill(vector.offset(floor, -RADIUS, -2, -RADIUS), vector.offset(floor, RADIUS, -1, RADIUS), "default:dirt")
	fill(vector.offset(floor, -RADIUS, 0, -RADIUS), vector.offset(floor, RADIUS, 0, RADIUS), name)
	local stand = vector.offset(floor, 0, 1, 2 - RADIUS)
	-- bearing grows to the right of north (+z), as the yaw that the environment reports
	local foot = vector.round(vector.offset(stand,
		tree.distance * math.sin(tree.bearing), 0, tree.distance * math.cos(tree.bearing)))
	plant(foot)
	return vector.offset(stand, 0, -0.5, 0), foot
end

local function place(player, stand)
	player:set_pos(stand)
	player:set_look_horizontal(0)
	player:set_look_vertical(0)
	player:set_hp(20)
end

minetest.register_on_joinplayer(function(player)
	player:hud_set_hotbar_itemcount(9)
	player:hud_set_flags({minimap = false, basic_debug = false})
	local centre = dry_ground()
	local reach = vector.new(32, 32, 32)
	minetest.emerge_area(vector.subtract(centre, reach), vector.add(centre, reach),
		function(_, _, remaining)
			if remaining > 0 then
				return
			end
			local stand, foot = build(centre)
			place(player, stand)
			state.tree = foot
			-- what was dug while the world was built is not the agent's
			minetest.after(0.5, function()
				place(player, stand)
				state.logs, state.ready = 0, true
			end)
		end)
end)

minetest.register_on_dignode(function(_, node, digger)
	if digger and digger:is_player() and minetest.get_item_group(node.name, "tree") > 0 then
		state.logs = state.logs + 1
	end
end)

minetest.register_globalstep(function()
	local player = minetest.get_connected_players()[1]
	if not player then
		return
	end
	local keys = player:get_player_control()
	player:set_physics_override({speed = (keys.aux1 and keys.up) and SPRINT or 1})
	state.step = state.step + 1
	state.position, state.velocity = player:get_pos(), player:get_velocity()
	state.yaw = -math.deg(player:get_look_horizontal())
	state.pitch = math.deg(player:get_look_vertical())
	state.health = player:get_hp()
	minetest.safe_file_write(STATE_FILE, minetest.write_json(state))
end)
