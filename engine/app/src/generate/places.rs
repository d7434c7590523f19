//! Location descriptions: what kind of place each one is, how often it occurs, and what it does to the odds of an arrest.
//!
//! The vocabulary is the register's; weights and effects are round numbers made up to give its shape.

/// Kinds of places; the index into a [`Scene`]'s weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// Where people live.
    Home,
    /// Streets, sidewalks, alleys, lots.
    Street,
    /// Cars, taxis, boats.
    Vehicle,
    /// Shops.
    Store,
    /// Restaurants, bars, hotels.
    Leisure,
    /// Offices, banks, works.
    Business,
    /// Schools, parks, hospitals, public buildings.
    Civic,
    /// Trains, buses, airports.
    Transit,
    /// OTHER and what fits nowhere else.
    Other,
}

/// The number of [`Kind`]s.
pub const KINDS: usize = 9;

/// Where crimes of one sort happen: a weight for each [`Kind`], in its order.
pub type Scene = [f64; KINDS];

/// One location description.
pub struct Place {
    /// As it stands in the file.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// How often, among the places of its kind.
    pub weight: f64,
    /// Added to the log-odds of an arrest.
    pub effect: f64,
}

/// (name, weight, effect)
type Row = (&'static str, f64, f64);

#[rustfmt::skip]
const TABLE: [(Kind, &[Row]); KINDS] = [
    (Kind::Home, &[
        ("RESIDENCE", 400.0, -0.25), ("APARTMENT", 330.0, -0.1), ("RESIDENCE PORCH/HALLWAY", 45.0, 0.1),
        ("RESIDENTIAL YARD (FRONT/BACK)", 45.0, 0.0), ("RESIDENCE-GARAGE", 40.0, -0.8), ("DRIVEWAY - RESIDENTIAL", 14.0, -0.2),
        ("CHA APARTMENT", 12.0, 0.3), ("CHA PARKING LOT/GROUNDS", 14.0, 0.5), ("CHA HALLWAY/STAIRWELL/ELEVATOR", 7.0, 0.7),
        ("NURSING HOME/RETIREMENT HOME", 8.0, -0.5), ("COLLEGE/UNIVERSITY RESIDENCE HALL", 2.0, -0.3), ("PORCH", 3.0, 0.2),
        ("HOUSE", 3.0, -0.2), ("YARD", 2.0, 0.0), ("GARAGE", 1.5, -0.6), ("BASEMENT", 1.0, -0.1), ("HALLWAY", 1.5, 0.5),
        ("STAIRWELL", 0.6, 0.5), ("ELEVATOR", 0.4, 0.2), ("VESTIBULE", 1.0, 0.5), ("ROOMING HOUSE", 0.5, 0.1), ("CHA GROUNDS", 0.4, 0.4),
    ]),
    (Kind::Street, &[
        ("STREET", 620.0, 0.0), ("SIDEWALK", 240.0, 0.35), ("ALLEY", 60.0, 0.25), ("PARKING LOT/GARAGE(NON.RESID.)", 75.0, -0.1),
        ("VACANT LOT/LAND", 9.0, 0.5), ("GAS STATION", 30.0, 0.2), ("DRIVEWAY", 1.5, 0.0), ("PARKING LOT", 3.0, 0.0), ("GANGWAY", 1.6, 0.4),
        ("VACANT LOT", 1.0, 0.5), ("BRIDGE", 0.8, 0.2), ("HIGHWAY/EXPRESSWAY", 1.4, 0.6), ("EXPRESSWAY EMBANKMENT", 0.2, 0.2),
        ("GAS STATION DRIVE/PROP.", 0.6, 0.2), ("SEWER", 0.1, 0.0),
    ]),
    (Kind::Vehicle, &[
        ("VEHICLE NON-COMMERCIAL", 100.0, 0.35), ("VEHICLE-COMMERCIAL", 6.0, -0.2), ("TAXICAB", 7.0, -0.2), ("AUTO", 3.0, 0.3),
        ("DELIVERY TRUCK", 2.0, -0.6), ("OTHER COMMERCIAL TRANSPORTATION", 4.0, 0.1), ("BOAT/WATERCRAFT", 0.6, -0.4), ("TRUCK", 0.6, -0.2),
        ("TAXI CAB", 0.4, -0.2), ("TRAILER", 0.2, -0.4), ("VEHICLE - OTHER RIDE SERVICE", 3.0, -0.3), 
    ]),
    (Kind::Store, &[
        ("SMALL RETAIL STORE", 210.0, 0.1), ("DEPARTMENT STORE", 190.0, 0.55), ("GROCERY FOOD STORE", 160.0, 0.5), ("DRUG STORE", 75.0, 0.3),
        ("CONVENIENCE STORE", 65.0, 0.1), ("TAVERN/LIQUOR STORE", 16.0, 0.3), ("APPLIANCE STORE", 6.0, -0.1), ("CLEANING STORE", 5.0, -0.2),
        ("PAWN SHOP", 4.0, 0.6), ("RETAIL STORE", 3.0, 0.2), ("CAR WASH", 5.0, -0.2), ("LIQUOR STORE", 2.0, 0.3), ("NEWSSTAND", 0.5, 0.0),
        ("BARBERSHOP", 8.0, 0.2), ("AUTO / BOAT / RV DEALERSHIP", 3.0, -0.5),
    ]),
    (Kind::Leisure, &[
        ("RESTAURANT", 430.0, -0.1), ("BAR OR TAVERN", 190.0, 0.0), ("HOTEL/MOTEL", 100.0, 0.25), ("ATHLETIC CLUB", 50.0, -1.0),
        ("SPORTS ARENA/STADIUM", 26.0, 0.8), ("MOVIE HOUSE/THEATER", 9.0, 0.0), ("BOWLING ALLEY", 2.0, -0.2), ("COIN OPERATED MACHINE", 1.5, 0.4),
        ("POOL ROOM", 1.2, 0.1), ("TAVERN", 2.0, 0.1), ("CLUB", 1.0, 0.0), ("BANQUET HALL", 0.8, -0.1), ("HOTEL", 1.5, 0.2), ("MOTEL", 0.6, 0.3),
        ("POOLROOM", 0.4, 0.1), ("SPORTS ARENA, PARKING", 0.4, 0.4),
    ]),
    (Kind::Business, &[
        ("COMMERCIAL / BUSINESS OFFICE", 150.0, -0.4), ("BANK", 75.0, -0.3), ("CURRENCY EXCHANGE", 22.0, 0.8), ("ATM (AUTOMATIC TELLER MACHINE)", 22.0, -0.9),
        ("CONSTRUCTION SITE", 22.0, -0.5), ("WAREHOUSE", 18.0, -0.3), ("FACTORY/MANUFACTURING BUILDING", 16.0, -0.3), ("MEDICAL/DENTAL OFFICE", 16.0, -0.3),
        ("ABANDONED BUILDING", 30.0, 0.9), ("DAY CARE CENTER", 8.0, -0.4), ("ANIMAL HOSPITAL", 1.5, -0.3), ("SAVINGS AND LOAN", 2.5, -0.2),
        ("CREDIT UNION", 2.5, -0.2), ("OFFICE", 1.0, -0.2), ("FARM", 0.1, 0.0), ("JUNK YARD/GARBAGE DUMP", 0.4, 0.2), ("LUMBER YARD", 0.2, 0.0),
       
    ]),
    (Kind::Civic, &[
        ("SCHOOL, PUBLIC, BUILDING", 230.0, 0.1), ("SCHOOL, PUBLIC, GROUNDS", 75.0, 0.2), ("SCHOOL, PRIVATE, BUILDING", 22.0, -0.3),
        ("SCHOOL, PRIVATE, GROUNDS", 8.0, -0.2), ("PARK PROPERTY", 140.0, 0.4), ("HOSPITAL BUILDING/GROUNDS", 85.0, 0.2),
        ("GOVERNMENT BUILDING/PROPERTY", 40.0, 0.5), ("POLICE FACILITY/VEH PARKING LOT", 36.0, 0.9), ("JAIL / LOCK-UP FACILITY", 5.0, 1.0),
        ("COLLEGE/UNIVERSITY GROUNDS", 18.0, -0.2), ("LIBRARY", 20.0, 0.2), ("CHURCH/SYNAGOGUE/PLACE OF WORSHIP", 36.0, -0.3), ("FIRE STATION", 2.0, -0.2),
        ("FEDERAL BUILDING", 2.0, 0.4), ("CEMETARY", 1.6, -0.3), ("LAKEFRONT/WATERFRONT/RIVERBANK", 12.0, 0.4), ("FOREST PRESERVE", 1.5, 0.3),
        ("SCHOOL YARD", 0.6, 0.2), ("PUBLIC HIGH SCHOOL", 0.4, 0.2), ("CHURCH PROPERTY", 0.3, -0.2),
    ]),
    (Kind::Transit, &[
        ("CTA TRAIN", 110.0, -0.2), ("CTA PLATFORM", 95.0, 0.5), ("CTA STATION", 65.0, 0.6), ("CTA BUS", 75.0, -0.2), ("CTA BUS STOP", 55.0, 0.3),
        ("CTA GARAGE / OTHER PROPERTY", 18.0, 0.3), ("CTA TRACKS - RIGHT OF WAY", 4.0, 0.6), ("CTA PARKING LOT / GARAGE / OTHER PROPERTY", 2.0, 0.2),
        ("AIRPORT/AIRCRAFT", 22.0, -0.1), ("AIRPORT TERMINAL LOWER LEVEL - NON-SECURE AREA", 14.0, -0.2),
        ("AIRPORT TERMINAL UPPER LEVEL - SECURE AREA", 13.0, 0.6), ("AIRPORT BUILDING NON-TERMINAL - NON-SECURE AREA", 6.0, -0.2),
        ("AIRPORT PARKING LOT", 6.0, -0.6), ("AIRPORT EXTERIOR - NON-SECURE AREA", 5.0, -0.1), ("OTHER RAILROAD PROP / TRAIN DEPOT", 12.0, 0.2),
        ("RAILROAD PROPERTY", 0.4, 0.3), ("CTA \"L\" PLATFORM", 0.4, 0.4),
    ]),
    (Kind::Other, &[("OTHER", 300.0, -0.6), ("RIVER BANK", 0.4, 0.1), ("LAKE", 0.3, 0.0), ("OTHER (SPECIFY)", 4.0, -0.4)]),
];

/// All location descriptions, those of one kind together, in the order of [`Kind`].
pub fn all() -> Vec<Place> {
    let place = |kind| move |&(name, weight, effect): &Row| Place { name, kind, weight, effect };
    TABLE.iter().flat_map(|(kind, rows)| rows.iter().map(place(*kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn table_is_in_the_order_of_kinds_and_has_no_name_twice() {
        assert!(TABLE.iter().enumerate().all(|(i, (kind, _))| *kind as usize == i));
        let places = all();
        let names: HashSet<_> = places.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), places.len());
        assert!((125..=145).contains(&places.len()), "{}", places.len());
    }
}
