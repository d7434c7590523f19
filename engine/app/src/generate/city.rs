//! The map: some 30,000 street blocks on Chicago's address grid, each in its beat, district, ward and community area.
//!
//! The grid is the real one's plan: the origin at State and Madison, eight blocks of 100 numbers to a mile, west and
//! north of it full of named streets, numbered streets to the south, the lake to the east. Which blocks there are,
//! how busy each is and where the lines between districts run is drawn from a fixed seed: a block, a beat and a
//! coordinate belong together in the same way in every generated file.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::draw::{Alias, chance, normal, unit};

/// Where in the city a sort of crime prefers to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Area {
    /// As busy as the block is.
    Anywhere,
    /// Towards the centre.
    Downtown,
    /// In some community areas much more than in others.
    Hotspots,
}

/// One block of a street: the portal gives no finer address.
pub struct Block {
    /// `051XX W WASHINGTON BLVD`
    pub name: String,
    /// Middle of the block on the Illinois State Plane East grid, US survey feet.
    pub x: i32,
    /// See `x`.
    pub y: i32,
    /// True where the street runs north and south.
    pub runs_north: bool,
    /// District x 100 + sector x 10 + number.
    pub beat: u16,
    /// Police district.
    pub district: u8,
    /// Ward.
    pub ward: u8,
    /// Community area.
    pub community: u8,
    /// Added to the log-odds of an arrest: of the district and the block's own.
    pub arrest: f64,
}

/// The blocks and how to choose among them.
pub struct City {
    blocks: Vec<Block>,
    choice: [Alias; 3],
}

/// Feet of 100 house numbers: eight to a mile.
const HUNDRED: f64 = 660.0;
/// State and Madison, the origin of the addresses, on the state plane.
const ORIGIN: (f64, f64) = (1_176_400.0, 1_900_300.0);
const BLOCKS: usize = 30_000;

/// Rows of cells from north to south, so many cells in each: 22 districts, 50 wards, 77 community areas.
const DISTRICT_ROWS: [usize; 8] = [2, 3, 3, 3, 3, 3, 3, 2];
const WARD_ROWS: [usize; 10] = [5; 10];
const COMMUNITY_ROWS: [usize; 11] = [7; 11];
/// The numbers of the 22 districts (there is no 13, 21 or 23), north to south.
const DISTRICTS: [u8; 22] = [24, 20, 17, 16, 19, 25, 14, 18, 15, 11, 12, 1, 10, 9, 2, 8, 7, 3, 6, 4, 22, 5];

#[rustfmt::skip]
const NAMES: [&str; 100] = [
    "ASH", "BIRCH", "CEDAR", "ELM", "HICKORY", "LINDEN", "MAPLE", "OAKLEY", "POPLAR", "WALNUT", "WILLOW", "ADAMS", "JACKSON", "MADISON", "MONROE", "POLK",
    "TAYLOR", "HARRISON", "VAN BUREN", "LINCOLN", "GRANT", "HAYES", "GARFIELD", "ARTHUR", "MCKINLEY", "WILSON", "CLEVELAND", "FILLMORE", "PIERCE", "LAKE",
    "OHIO", "HURON", "ERIE", "ONTARIO", "SUPERIOR", "MICHIGAN", "WABASH", "INDIANA", "PRAIRIE", "CALUMET", "STATE", "DEARBORN", "CLARK", "WELLS", "FRANKLIN",
    "ORLEANS", "HALSTED", "MORGAN", "RACINE", "LOOMIS", "ASHLAND", "PAULINA", "WOOD", "WOLCOTT", "DAMEN", "LEAVITT", "WESTERN", "CAMPBELL", "MAPLEWOOD",
    "ROCKWELL", "TALMAN", "FAIRFIELD", "CALIFORNIA", "MOZART", "FRANCISCO", "SACRAMENTO", "WHIPPLE", "ALBANY", "TROY", "KEDZIE", "SPAULDING", "HOMAN",
    "TRUMBULL", "HAMLIN", "AVERS", "PULASKI", "KEELER", "KOSTNER", "KILBOURN", "CICERO", "LARAMIE", "CENTRAL", "AUSTIN", "DIVISION", "AUGUSTA", "CHICAGO",
    "NORTH", "ARMITAGE", "FULLERTON", "DIVERSEY", "BELMONT", "ADDISON", "MONTROSE", "LAWRENCE", "FOSTER", "BRYN MAWR", "PETERSON", "DEVON", "PRATT", "TOUHY",
];

impl City {
    /// The city, always the same one.
    pub fn new() -> City {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0x000c_171e_5eed);
        let mut blocks = sites();
        // A random sample of the sites, in the order of the grid.
        for i in 0..BLOCKS.min(blocks.len()) {
            let j = i + (unit(&mut rng) * (blocks.len() - i) as f64) as usize;
            blocks.swap(i, j);
        }
        blocks.truncate(BLOCKS);

        let districts = tile(&blocks, &DISTRICT_ROWS);
        let wards = tile(&blocks, &WARD_ROWS);
        let communities = tile(&blocks, &COMMUNITY_ROWS);
        let mut busy_beats = vec![0; DISTRICTS.len()];
        let district_effects: Vec<f64> = DISTRICTS.iter().map(|_| normal(&mut rng) * 0.25).collect();
        let community_heat: Vec<f64> = (0..77).map(|_| (normal(&mut rng) * 1.1).exp()).collect();
        // Beats: twelve to a district in three sectors, and a thirteenth in every second one, 275 in all.
        for district in 0..DISTRICTS.len() {
            let inside: Vec<usize> = (0..blocks.len()).filter(|&i| districts[i] == district).collect();
            let sectors = if district % 2 == 0 { [4, 4, 5] } else { [4, 4, 4] };
            let cells = tile_of(&blocks, &inside, &sectors);
            for (&i, cell) in inside.iter().zip(cells) {
                let (sector, number) = (cell / 4, cell % 4);
                let (sector, number) = if sector == 3 { (2, 4) } else { (sector, number) };
                blocks[i].beat =
                    u16::from(DISTRICTS[district]) * 100 + (sector as u16 + 1) * 10 + number as u16 + 1;
                busy_beats[district] += 1;
            }
        }
        let mut weights: [Vec<f64>; 3] = Default::default();
        for (i, block) in blocks.iter_mut().enumerate() {
            block.district = DISTRICTS[districts[i]];
            block.ward = wards[i] as u8 + 1;
            block.community = communities[i] as u8 + 1;
            block.arrest = district_effects[districts[i]] + normal(&mut rng) * 0.3;
            let miles =
                (f64::from(block.x) - ORIGIN.0).hypot(f64::from(block.y) - ORIGIN.1) / (8.0 * HUNDRED);
            let central = (-miles / 0.8).exp();
            // Few blocks see much of the crime: log-normal, and the busiest ones (stations, malls) stand out of that.
            let mut busy = (normal(&mut rng) * 1.05).exp();
            if chance(&mut rng, 0.001) {
                busy *= 8.0;
            }
            weights[Area::Anywhere as usize].push(busy);
            weights[Area::Downtown as usize].push(busy * (0.7 + 8.0 * central));
            weights[Area::Hotspots as usize].push(busy * community_heat[communities[i]]);
        }
        City { blocks, choice: weights.map(|w| Alias::new(&w)) }
    }

    /// A block where a crime that prefers this area happens.
    pub fn pick(&self, area: Area, rng: &mut Xoshiro256PlusPlus) -> &Block {
        &self.blocks[self.choice[area as usize].pick(rng)]
    }
}

/// Latitude and longitude in billionths of a degree of a point on the state plane.
///
/// An affine map, right to some hundred feet within the city: the grid's north is turned against true north by
/// 0.39 degrees here, a degree of latitude is 364,400 feet and one of longitude 271,800.
pub fn degrees(x: i32, y: i32) -> (i64, i64) {
    let (east, north) = (f64::from(x) - ORIGIN.0, f64::from(y) - ORIGIN.1);
    let latitude = 41.881_900 + (north - 0.0068 * east) / 364_400.0;
    let longitude = -87.627_700 + (east + 0.0068 * north) / 271_800.0;
    ((latitude * 1e9) as i64, (longitude * 1e9) as i64)
}

/// Every block of the grid that lies on land, row by row, not yet in any beat.
fn sites() -> Vec<Block> {
    let mut sites = Vec::new();
    // Half-hundreds: streets run every 50 house numbers, and blocks are 100 numbers long.
    for line in -150i32..150 {
        for hundred in -140i32..80 {
            let street = f64::from(line) * 0.5;
            let along = f64::from(hundred) + 0.5;
            if on_land(street, along) {
                let letter = if hundred < 0 { 'S' } else { 'N' };
                sites.push(site(hundred, letter, &named(line + 150, 0), street, along, true));
            }
            // Cross streets are every 100 numbers: blocks are long and narrow.
            if line % 2 == 0 && on_land(along_x(hundred), street) {
                let letter = if hundred < 0 { 'W' } else { 'E' };
                let name = if line < 0 { numbered(-line / 2) } else { named(line / 2, 50) };
                sites.push(site(hundred, letter, &name, along_x(hundred), street, false));
            }
        }
    }
    sites
}

/// The middle of a block between two hundreds, in hundreds east of State Street.
fn along_x(hundred: i32) -> f64 {
    f64::from(hundred) + 0.5
}

fn site(hundred: i32, letter: char, street: &str, east: f64, north: f64, runs_north: bool) -> Block {
    let number = if hundred < 0 { -hundred - 1 } else { hundred };
    let number = if number == 0 { "0000X".to_owned() } else { format!("{number:03}XX") };
    Block {
        name: format!("{number} {letter} {street}"),
        x: (ORIGIN.0 + east * HUNDRED) as i32,
        y: (ORIGIN.1 + north * HUNDRED) as i32,
        runs_north,
        beat: 0,
        district: 0,
        ward: 0,
        community: 0,
        arrest: 0.0,
    }
}

/// The name of a named street: no two streets of one direction share it.
fn named(line: i32, shift: i32) -> String {
    let i = (line + shift) as usize;
    format!("{} {}", NAMES[i % NAMES.len()], ["AVE", "ST", "BLVD", "PL"][i / NAMES.len() % 4])
}

/// A numbered street south of Madison.
fn numbered(n: i32) -> String {
    let suffix = match (n % 10, n % 100) {
        (_, 11..=13) => "TH",
        (1, _) => "ST",
        (2, _) => "ND",
        (3, _) => "RD",
        _ => "TH",
    };
    format!("{n}{suffix} ST")
}

/// Whether a point, in hundreds east and north of State and Madison, lies between the city's west line and the lake.
fn on_land(east: f64, north: f64) -> bool {
    // (north, west line, shore), from the south; straight lines between.
    #[rustfmt::skip]
    const OUTLINE: [(f64, f64, f64); 9] = [
        (-138.0, -10.0, 40.0), (-110.0, -30.0, 40.0), (-95.0, -34.0, 36.0), (-79.0, -48.0, 32.0), (-55.0, -72.0, 19.0),
        (-35.0, -52.0, 8.0), (0.0, -59.0, 7.0), (30.0, -72.0, -2.0), (76.0, -78.0, -11.0),
    ];
    OUTLINE.windows(2).any(|pair| {
        let ((south, west_0, shore_0), (top, west_1, shore_1)) = (pair[0], pair[1]);
        let t = (north - south) / (top - south);
        (0.0..1.0).contains(&t)
            && east > west_0 + t * (west_1 - west_0)
            && east < shore_0 + t * (shore_1 - shore_0)
    })
}

/// For each block the number of its cell when the city is cut into rows, north to south, and these into cells, west to east.
fn tile(blocks: &[Block], rows: &[usize]) -> Vec<usize> {
    tile_of(blocks, &(0..blocks.len()).collect::<Vec<_>>(), rows)
}

/// [`tile`] for some of the blocks. Every cell gets as many blocks as any other, to within one a row.
fn tile_of(blocks: &[Block], which: &[usize], rows: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..which.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse((blocks[which[i]].y, which[i])));
    let total: usize = rows.iter().sum();
    let mut cells = vec![0; which.len()];
    let mut before = 0;
    for &n in rows {
        let row = &mut order[which.len() * before / total..which.len() * (before + n) / total];
        row.sort_by_key(|&i| (blocks[which[i]].x, which[i]));
        let len = row.len();
        for (rank, &i) in row.iter().enumerate() {
            cells[i] = before + rank * n / len;
        }
        before += n;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn every_block_has_its_own_name_and_one_of_275_beats() {
        let city = City::new();
        assert_eq!(city.blocks.len(), BLOCKS);
        assert_eq!(city.blocks.iter().map(|b| &b.name).collect::<HashSet<_>>().len(), BLOCKS);
        let beats: HashMap<u16, u8> = city.blocks.iter().map(|b| (b.beat, b.district)).collect();
        assert_eq!(beats.len(), 275);
        assert!(beats.iter().all(|(beat, district)| beat / 100 == u16::from(*district)));
        assert_eq!(beats.values().collect::<HashSet<_>>().len(), 22);
        assert_eq!(city.blocks.iter().map(|b| b.ward).collect::<HashSet<_>>().len(), 50);
        assert_eq!(city.blocks.iter().map(|b| b.community).collect::<HashSet<_>>().len(), 77);
    }

    #[test]
    fn coordinates_lie_within_the_city() {
        for block in City::new().blocks {
            let (latitude, longitude) = degrees(block.x, block.y);
            assert!(
                (1_120_000..1_206_000).contains(&block.x) && (1_808_000..1_952_000).contains(&block.y),
                "{}",
                block.name
            );
            assert!((41_600_000_000..42_050_000_000).contains(&latitude), "{}: {latitude}", block.name);
            assert!((-87_900_000_000..-87_500_000_000).contains(&longitude), "{}: {longitude}", block.name);
        }
    }

    #[test]
    fn numbered_streets_are_spelled_as_people_do() {
        let spelled: Vec<String> = [1, 2, 3, 11, 12, 13, 21, 63, 111, 122].map(numbered).to_vec();
        assert_eq!(
            spelled.join(" "),
            "1ST ST 2ND ST 3RD ST 11TH ST 12TH ST 13TH ST 21ST ST 63RD ST 111TH ST 122ND ST"
        );
    }
}
